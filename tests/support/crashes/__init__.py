"""Commands that are killed, starved of disk and memory, or meet damaged files; `python -m support.crashes --help`."""
