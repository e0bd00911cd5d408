"""Nights of `release` against a Hub on loopback, in an order that a seed decides; see `python -m support.nights`."""
