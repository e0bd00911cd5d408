"""First layers, whose input channels are the colors of an image."""
