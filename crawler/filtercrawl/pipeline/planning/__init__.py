"""Decide what to crawl, and estimate its cost."""
