"""Statistics of groups of layers: divergence, bootstrap and permutation tests, PCA, null distributions, verdicts."""
