"""The dataset card: its YAML header, counts, figures and text."""
