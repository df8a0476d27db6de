"""What one call of a compiled step costs, and what several steps a call save."""
