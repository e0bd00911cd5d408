"""Arrow schemas of the tables, their columns and versions."""
