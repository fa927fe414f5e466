"""Tables of the recipe, each with its keys."""
