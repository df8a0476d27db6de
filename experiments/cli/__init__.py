"""What all commands share: options, console, tables, results, signals."""
