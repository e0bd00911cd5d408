"""Reading one checkpoint in a worker."""
