"""Per-layer statistics computed at sync time: quality and sketches."""
