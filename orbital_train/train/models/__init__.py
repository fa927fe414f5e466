"""Models, each built by a function of keyword arguments."""
