"""Checks of a dataset against itself: files, tables, weights, sketches, signature, and whether it loads."""

from filtercrawl_publish.verification.issues import CheckedFolder, Issue
from filtercrawl_publish.verification.verify import (
    VerifyOptions,
    VerifyReport,
    verify_dataset,
    verify_folder,
    verify_repository,
)

__all__ = [
    "CheckedFolder",
    "Issue",
    "VerifyOptions",
    "VerifyReport",
    "verify_dataset",
    "verify_folder",
    "verify_repository",
]
