"""Publish one version: stage, upload, commit, check that it loads, tag; also roll back and purge."""

from filtercrawl_publish.publishing.options import PublishOptions, PublishResult
from filtercrawl_publish.publishing.publish import publish_version
from filtercrawl_publish.publishing.rollback import RollbackResult, rollback_version

__all__ = ["PublishOptions", "PublishResult", "RollbackResult", "publish_version", "rollback_version"]
