"""The `analyze` command."""
