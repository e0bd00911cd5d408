"""Repositories that hold versions: the Hub or a folder."""
