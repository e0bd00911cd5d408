"""Relations between checkpoints: pairs of layers, candidates, and which one descends from which."""
