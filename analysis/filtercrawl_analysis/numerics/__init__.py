"""Numerical building blocks: moments, covariance, Gram matrices, DCT."""
