"""Recipes: TOML in, validated and frozen, out as the plain dataclasses that each layer owns."""
