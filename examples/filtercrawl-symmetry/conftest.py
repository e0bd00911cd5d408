"""The fixtures of filtercrawl: check_plugin, sync_with, file_server."""

pytest_plugins = ["filtercrawl.testing.pytest_fixtures"]
