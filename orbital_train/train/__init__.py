"""Execution of a trace with real torch models. Importing the package alone does not import torch."""
