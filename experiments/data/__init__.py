"""The songs and prepared sets that a command is given."""
