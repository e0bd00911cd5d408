"""The distance of layers from the distributions that weights are initialized from."""
