"""The functions that the package `filtercrawl` offers beside the command line: `sync`, `status` and `inspect`."""
