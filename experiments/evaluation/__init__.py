"""Scores of separated songs, by whatever they were separated."""
