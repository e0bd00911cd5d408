"""Running the analyses and writing tables, figures and the HTML report."""
