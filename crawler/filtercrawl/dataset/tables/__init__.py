"""Rows of each published table, and their export from the catalog."""
