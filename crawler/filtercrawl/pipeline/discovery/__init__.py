"""Listing what the selected sources offer."""
