"""Statistics of groups of layers: divergence, tests by exchange of models, PCA, null distributions, verdicts."""
