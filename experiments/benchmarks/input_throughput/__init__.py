"""How fast training sequences come, and whether a training waits for them."""
