"""The release pipeline: restore the last version, sync, analyze, guard against losses, publish; also withdraw."""

from filtercrawl_publish.releasing.report import ReleaseReport
from filtercrawl_publish.releasing.request import ReleaseRequest, prepare_release

__all__ = ["ReleaseReport", "ReleaseRequest", "prepare_release"]
