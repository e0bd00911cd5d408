"""Reading a dataset for analysis."""
