"""One report of a device: correctness, speed, compile times, profile."""
