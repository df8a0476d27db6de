"""How long a program takes to become ready, and when that has paid."""
