"""Sources: what lists checkpoints."""
