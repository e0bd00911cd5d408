"""Spectra of layers: singular values, their summaries, and the same of random matrices."""
