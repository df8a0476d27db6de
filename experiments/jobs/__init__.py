"""Rows of the ablation as jobs of their own, on this machine or by Slurm."""
