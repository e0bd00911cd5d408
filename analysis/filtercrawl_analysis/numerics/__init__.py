"""Numerical building blocks: covariance, moments, Gram matrices, the DCT, scaling, and merging of sketches."""
