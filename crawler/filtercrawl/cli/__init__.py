"""The command line: one module a command, thin layers over the other packages."""

from filtercrawl.cli.app import main

__all__ = ["main"]
