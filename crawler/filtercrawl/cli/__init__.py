"""The command line: a file a command; what a command does lies elsewhere."""

from filtercrawl.cli.app import main

__all__ = ["main"]
