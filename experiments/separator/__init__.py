"""What `experiments.madsep` does: separate songs, import published weights, write a separator as a program."""
