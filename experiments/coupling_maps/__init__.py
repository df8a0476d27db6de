"""What `experiments.couplings` does: the neural couplings of trained models, and their pictures."""
