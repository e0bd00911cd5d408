"""The bundled analyses, one module each."""
