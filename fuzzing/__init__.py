"""Fuzzers of everything that parses what strangers send: `python -m fuzzing --list` names them."""
