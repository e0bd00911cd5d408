"""Checks of a dataset against itself."""
