"""What `experiments.scaling` and `experiments.dispatch` are made of."""
