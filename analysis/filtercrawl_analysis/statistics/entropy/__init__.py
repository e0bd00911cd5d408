"""Variance entropy of layers: its null distribution, its tests against independent weights, and their power."""
