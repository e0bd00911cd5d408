"""Zip archives read by byte ranges."""
