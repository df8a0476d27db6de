"""What `experiments.ablation` does: a row a system and seed, from the plan to the table."""
