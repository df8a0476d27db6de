"""One page of results that opens without a server or the network: tables, plots, and sound to compare by ear."""
