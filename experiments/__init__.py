"""What a person runs: training, ablation, scoring, timing."""
