"""The machinery of the commands that time and count: a room each, all on `case`."""
