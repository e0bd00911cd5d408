"""What the Hub stand-in knows of all large files of a dataset repo, and how they are deleted for good."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from support.hub.datasets import is_lfs, missing
from support.hub.types import Answer, Asked, Repo, blob_id, sha256

if TYPE_CHECKING:
    from support.hub.server import HubServer


def answer(hub: HubServer, asked: Asked) -> Answer | None:
    """Return the answer to a request about large files of all commits, None for any other."""
    match = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/lfs-files(/batch)?", asked.path)
    if match is None:
        return None
    repo = hub.datasets.get(match[1])
    if repo is None:
        return missing()
    if not hub.may_write(asked):
        return Answer.error(403, "", "You don't have the rights to write to this repo")
    return _delete(hub, repo, asked) if match[2] else Answer.json(list(_every(repo).values()))


def _every(repo: Repo) -> dict[str, dict[str, object]]:
    return {
        sha256(data): {
            "fileOid": sha256(data), "filename": path, "oid": blob_id(data), "pushedAt": "2026-01-01T00:00:00.000Z",
            "ref": "refs/heads/main", "size": len(data),
        }
        for commit in repo.commits for path, data in commit.files.items() if is_lfs(path, len(data))
    }  # fmt: skip


def _delete(hub: HubServer, repo: Repo, asked: Asked) -> Answer:
    given = json.loads(asked.body)["deletions"]
    gone = set(given["sha"])
    for digest in gone:
        hub.blobs.pop(digest, None)
    if given["rewriteHistory"]:
        for commit in repo.commits:
            commit.files = {path: data for path, data in commit.files.items() if sha256(data) not in gone}
    return Answer.json({})
