"""Reading and writing single files: atomic writes, Parquet, layer files, manifest, lock."""
