"""Engines: what runs the crawl tasks of a plan, in this process or on a cluster."""
