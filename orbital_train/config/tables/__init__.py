"""Tables of the recipe, where they are several to choose from."""
