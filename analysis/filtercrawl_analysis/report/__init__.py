"""Running the analyses, and writing tables, figures, the HTML report and results.json."""
