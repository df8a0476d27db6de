"""How fast songs are scored, and how much memory that takes."""
