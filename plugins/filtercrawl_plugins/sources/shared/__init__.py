"""Helpers shared by several sources."""
