"""Engines: where the pure functions that analyses map over layers, groups and figures are computed."""
