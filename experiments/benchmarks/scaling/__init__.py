"""How training scales with devices and processes that share a batch."""
