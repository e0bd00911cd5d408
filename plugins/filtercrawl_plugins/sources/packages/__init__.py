"""Weights inside installed Python distributions."""
