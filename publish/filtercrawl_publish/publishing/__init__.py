"""Publishing one version: staging, upload, commit, load check, tag."""
