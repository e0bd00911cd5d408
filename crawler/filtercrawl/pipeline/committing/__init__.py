"""Writing crawl results into the catalog."""
