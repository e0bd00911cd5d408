"""Statistics of groups of layers, by subject."""
