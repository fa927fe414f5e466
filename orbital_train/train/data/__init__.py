"""Data sets: batches for every node, and for validation."""
