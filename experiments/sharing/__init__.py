"""What `experiments.scaling` is made of."""
