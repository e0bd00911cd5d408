"""Find out what the selected sources offer."""
