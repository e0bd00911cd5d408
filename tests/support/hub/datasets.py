"""What the Hub stand-in answers about dataset repos and Spaces: refs, commits, trees page by page, files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from support.hub.types import Answer, Asked, Commit, Repo, blob_id, sha256, stamp

if TYPE_CHECKING:
    from support.hub.server import HubServer

_LFS = (".parquet", ".png", ".arrow", ".npz", ".h5", ".gz", ".zip")
_LARGE = 10 * 1024 * 1024


def answer(hub: HubServer, asked: Asked) -> Answer | None:
    """Return the answer to a request for a dataset repo or a Space, None for any other."""
    if match := re.fullmatch(r"/(datasets|spaces)/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", asked.path):
        repo = hub.of_type(match[1]).get(match[2])
        return resolve(hub, repo, match[3], match[4], is_lfs) if repo and _allowed(hub, repo, asked) else missing()
    if match := re.fullmatch(r"/api/(datasets|spaces)/([^/]+/[^/]+)(?:/(.+))?", asked.path):
        repo = hub.of_type(match[1]).get(match[2])
        return _api(hub, repo, asked, match[3] or "") if repo and _allowed(hub, repo, asked) else missing()
    return None


def missing() -> Answer:
    return Answer.error(401, "RepoNotFound", "Repository not found")


def _allowed(hub: HubServer, repo: Repo, asked: Asked) -> bool:
    return not repo.private or hub.trusts(asked)


def _api(hub: HubServer, repo: Repo, asked: Asked, rest: str) -> Answer:
    what, _, tail = rest.partition("/")
    if what == "refs":
        branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.sha}
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": sha} for n, sha in repo.tags.items()]
        return Answer.json({"branches": [branch], "converts": [], "tags": tags})
    if what == "auth-check":
        allowed = tail != "write" or hub.may_write(asked)
        return Answer.json({}) if allowed else Answer.error(403, "", "Forbidden: you must have write access.")
    revision, _, folder = tail.partition("/")
    commit = repo.at(revision or "main")
    if commit is None:
        return Answer.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    if what == "commits":
        history = reversed(repo.commits[: repo.commits.index(commit) + 1])
        return Answer.json(
            [{"id": c.sha, "title": c.title, "message": "", "date": stamp(c.date), "authors": []} for c in history]
        )
    if what == "tree":
        return _tree(hub, commit, asked, folder)
    if what == "paths-info":
        wanted = [path.rstrip("/") for path in asked.query.get("paths", [])]
        known = {item["path"]: item for item in _items(commit, "", recursive=True)}
        return Answer.json([known[path] for path in wanted if path in known])
    if what in ("", "revision"):
        return _info(repo, commit, asked)
    if what in ("xet-read-token", "xet-write-token"):
        return hub.xet_token()
    return Answer.error(404, "", "no such page")


def _info(repo: Repo, commit: Commit, asked: Asked) -> Answer:
    blobs = asked.query.get("blobs") == ["true"]
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
    if blobs:
        for item in siblings:
            told = _file(item["rfilename"], commit.files[item["rfilename"]])
            item |= {"size": told["size"], "blobId": told["oid"]}
            if "lfs" in told:
                item["lfs"] = {"sha256": told["lfs"]["oid"], "size": told["size"], "pointerSize": 134}
    facts = {
        "_id": blob_id(repo.id.encode())[:24], "id": repo.id, "author": repo.id.partition("/")[0], "sha": commit.sha,
        "lastModified": stamp(commit.date), "createdAt": stamp(repo.commits[0].date), "private": repo.private,
        "gated": repo.gated, "disabled": repo.disabled, "downloads": 0, "likes": 0, "tags": ["region:us"],
        "siblings": siblings,
    }  # fmt: skip
    return Answer.json(facts)


def _tree(hub: HubServer, commit: Commit, asked: Asked, folder: str) -> Answer:
    items = _items(commit, folder, recursive=asked.query.get("recursive") == ["true"])
    if folder and not items:
        return Answer.error(404, "EntryNotFound", f"{folder} does not exist")
    start = int(asked.query.get("cursor", ["0"])[0])
    size = min(int(asked.query.get("limit", ["1000"])[0]), hub.page_size)
    page = items[start : start + size]
    if start + size >= len(items):
        return Answer.json(page)
    following = urlencode(dict(asked.query) | {"cursor": [str(start + size)]}, doseq=True)
    return Answer.json(page, Link=f'<{hub.url}{asked.path}?{following}>; rel="next"')


def _items(commit: Commit, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    """Files and folders below a folder, the folders before what is in them."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(commit.files):
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            above = prefix + "/".join(parts[:depth])
            oid = hashlib.sha1(f"{commit.sha} {above}".encode()).hexdigest()
            found.setdefault(above, {"type": "directory", "path": above, "oid": oid, "size": 0})
        if recursive or len(parts) == 1:
            found[path] = _file(path, commit.files[path])
    return list(found.values())


def _file(path: str, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": path, "oid": blob_id(data), "size": len(data)}
    if is_lfs(path, len(data)):
        found["oid"] = blob_id(b"pointer " + sha256(data).encode())
        found["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
    return found


def resolve(hub: HubServer, repo: Repo, revision: str, path: str, is_lfs: Callable[[str, int], bool]) -> Answer:
    """Answer a request for a file, of a dataset or a model: its bytes, or where those of a large one are."""
    commit = repo.at(revision)
    if commit is None:
        return Answer.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    if path not in commit.files:
        return Answer.error(404, "EntryNotFound", "Entry not found")
    data = commit.files[path]
    headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
    if not is_lfs(path, len(data)):
        return Answer(headers=headers | {"ETag": f'"{blob_id(data)}"'}, body=data)
    linked = {"X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data)), "ETag": f'"{sha256(data)}"'}
    return Answer(status=302, headers=headers | linked | {"Location": f"{hub.cdn}/lfs/{sha256(data)}"})


def is_lfs(path: str, size: int) -> bool:
    """By name, as the .gitattributes of a dataset repo has it, or by size."""
    return path.endswith(_LFS) or size > _LARGE
