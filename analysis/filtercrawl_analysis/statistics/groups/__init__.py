"""Groups of layers and of models: labels, sample sizes, medians with intervals, tests, random numbers."""
