"""The release pipeline: restore, sync, analyze, guard, publish."""
