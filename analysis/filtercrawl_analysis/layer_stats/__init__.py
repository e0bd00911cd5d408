"""Statistics of one layer, computed when `sync` reads it: quality measures and the sketch."""
