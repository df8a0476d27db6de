"""The depthwise-separable block: `block` is its definition, `form` chooses among the ways to compute it."""
