"""What can be told of a program that no device here can run: it is compiled for one, and counted."""
