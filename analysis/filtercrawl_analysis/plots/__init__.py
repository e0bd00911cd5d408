"""Figures: how each is drawn with matplotlib, the themes, and rendering to SVG and PNG."""
