"""Sync policies: each one a small file with a pure function from what is known to decisions."""
