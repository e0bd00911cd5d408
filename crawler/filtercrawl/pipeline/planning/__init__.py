"""Deciding what to crawl, and estimating its cost."""
