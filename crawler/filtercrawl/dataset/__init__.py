"""The dataset folder: schema, files, card, tables, catalog, and migration between schema versions."""
