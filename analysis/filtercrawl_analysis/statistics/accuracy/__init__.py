"""Rank correlation of the quality of kernels with the accuracy that sources state of their models."""
