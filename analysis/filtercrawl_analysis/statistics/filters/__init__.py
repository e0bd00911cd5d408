"""Filters of layers: norms, twins, dead ones and copies, and tables that are joined to them."""
