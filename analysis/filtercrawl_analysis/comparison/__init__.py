"""Comparison of two checkpoints, layer by layer: files, checkpoints of sources, or models of a dataset."""
