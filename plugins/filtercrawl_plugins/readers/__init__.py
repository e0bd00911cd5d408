"""Readers of checkpoint file formats."""
