"""Whole networks as sequences of tokens, for models that learn from weights."""
