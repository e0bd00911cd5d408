"""A pickle interpreter that executes nothing."""
