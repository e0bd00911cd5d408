"""Crawl one checkpoint in a worker: open its files, read its tensors, stage its layers."""
