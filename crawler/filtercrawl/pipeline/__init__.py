"""A sync run: list the sources, plan, crawl concurrently, commit, export."""
