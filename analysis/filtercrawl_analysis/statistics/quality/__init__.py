"""The quality of layers and models: dead kernels, outliers, copies, symmetry, and the verdicts."""
