"""Exports into other layouts."""
