"""Quality subsets: from a recipe to the layers and kernels that it selects, with splits that share no kin."""
