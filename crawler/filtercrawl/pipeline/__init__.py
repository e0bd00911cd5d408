"""One sync run: discovery, planning, crawling, committing."""
