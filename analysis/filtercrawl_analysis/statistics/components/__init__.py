"""Principal components of scaled kernels, the coefficients of kernels in them, and explained variance."""
