"""The published folder: everything in it that follows from the catalog."""
