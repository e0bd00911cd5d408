"""Repositories that hold published versions: a dataset on the Hugging Face Hub, or a folder."""

from filtercrawl_publish.repository.base import CommitOperations, Repository, RepositoryFile
from filtercrawl_publish.repository.open import open_repository

__all__ = ["CommitOperations", "Repository", "RepositoryFile", "open_repository"]
