"""What `experiments.madsep` does: separate songs, import published weights, export weights."""
