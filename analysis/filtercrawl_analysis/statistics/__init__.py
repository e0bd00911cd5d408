"""Comparisons of groups: divergence, bootstrap, PCA, nulls, verdicts."""
