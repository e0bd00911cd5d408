"""The bundled analyses, one module each: from a dataset view to tables, figures and findings."""
