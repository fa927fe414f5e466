"""Train models across compute that is split over intermittently connected orbital nodes."""

__version__ = "0.1.0.dev0"
