"""What several sources use: Hub listings, queries, revisions of URLs, and untrusted text."""
