"""A Hub stand-in on loopback: repos with commits, listings, LFS files on a second origin, errors and faults.

`with HubServer() as hub:` then `hub.create("org/net", {"model.safetensors": data}, card={"license": "mit"})`,
`hub.commit("org/net", {"README.md": b"..."}, delete=["old.bin"])`, `hub.move("org/net", "org/new")`,
`hub.delete("org/net")`, `hub.repos["org/net"].gated = "auto"`, `hub.fail("*/resolve/*", Fault(status=503))`.
`hub.ahead = timedelta(days=2)` is its clock's, `hub.role = "read"` what a token may do at all.
`hub.log` says what was asked, `hub.counts()` how often each kind of request came.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlencode

import yaml

from support.hub import datasets as hub_datasets
from support.hub import http as hub_http
from support.hub import lfs as hub_lfs
from support.hub import writes as hub_writes
from support.hub import xet as hub_xet
from support.hub.types import Answer, Asked, Commit, Fault, Repo, blob_id, sha256, stamp

__all__ = ["Answer", "Asked", "Commit", "Fault", "HubServer", "Repo", "blob_id", "sha256", "stamp"]

# By name, as the Hub's own .gitattributes has it.
_LFS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".npz", ".msgpack", ".h5", ".pkl", ".onnx_data")
_DAY_ONE = datetime(2024, 1, 1, tzinfo=UTC)


class HubServer:
    """Two servers on loopback: `url`, the Hub, and `cdn`, to which LFS files are redirected."""

    def __init__(self, *, page_size: int = 1000, token: str | None = None, xet: Path | None = None) -> None:
        self.page_size = page_size
        self.models_per_page = page_size
        self.token = token
        self.xet = xet
        self.ahead = timedelta()
        self.role = "write"
        self.datasets: dict[str, Repo] = {}
        self.spaces: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.writing = threading.Lock()
        self.watch: Callable[[int, Asked, str], Fault | None] = lambda number, asked, when: None
        self._number = 0
        self.repos: dict[str, Repo] = {}
        self.moved: dict[str, str] = {}
        self.log: list[Asked] = []
        self._faults: list[tuple[str, Fault]] = []
        self._clock = 0
        self._lock = threading.Lock()
        self._servers = [hub_http.serve(self, self._hub), hub_http.serve(self, self._cdn)]
        self.url, self.cdn = (server.url for server in self._servers)

    # What a test does to the Hub.

    def create(
        self, repo_id: str, files: Mapping[str, bytes], *, card: Mapping[str, Any] | None = None, **info: Any
    ) -> str:
        """Make a repo with one commit; returns its sha. info: library_name, pipeline_tag, tags, config, ..."""
        self.repos[repo_id] = Repo(id=repo_id, commits=[], card=dict(card or {}), info=info)
        return self.commit(repo_id, files, title="initial commit")

    def commit(
        self, repo_id: str, add: Mapping[str, bytes], *, delete: Iterable[str] = (), title: str = "update"
    ) -> str:
        """Add, replace or delete files in one commit; returns its sha."""
        repo = self.repos[repo_id]
        files = (dict(repo.head.files) if repo.commits else {}) | dict(add)
        for path in delete:
            del files[path]
        if repo.card:
            files["README.md"] = f"---\n{yaml.safe_dump(repo.card)}---\n{files.get('README.md', b'')!r}\n".encode()
        return self.append(repo, files, title)

    def append(self, repo: Repo, files: dict[str, bytes], title: str) -> str:
        """Put a commit with these files on top of a repo; returns its sha."""
        self._clock += 1
        sha = hashlib.sha1(f"{repo.id} {self._clock}".encode()).hexdigest()
        repo.commits.append(Commit(sha=sha, title=title, date=_DAY_ONE + timedelta(days=self._clock), files=files))
        return sha

    def of_type(self, plural: str) -> dict[str, Repo]:
        """Return the `datasets` or the `spaces` by id."""
        return {"datasets": self.datasets, "spaces": self.spaces}[plural]

    def move(self, old: str, new: str) -> None:
        """Rename a repo; the old name redirects, as on the Hub."""
        self.repos[new] = self.repos.pop(old)
        self.repos[new].id = new
        self.moved[old] = new

    def delete(self, repo_id: str) -> None:
        del self.repos[repo_id]

    def fail(self, pattern: str, *faults: Fault) -> None:
        """Let the next requests to paths like `pattern` go wrong, one fault each."""
        with self._lock:
            self._faults += [(pattern, fault) for fault in faults]

    def counts(self) -> Counter[str]:
        return Counter(asked.kind for asked in self.log)

    def forget(self) -> None:
        """Empty the log, and count requests from 1 again."""
        self.log.clear()
        self._number = 0

    @property
    def received(self) -> int:
        """Bytes of the bodies of requests since `forget`, and what arrived as Xet chunks meanwhile."""
        return sum(len(asked.body) for asked in self.log)

    def content(self, digest: str) -> bytes | None:
        """Return the content of a large file that was uploaded."""
        if digest not in self.blobs and self.xet is not None:
            hub_xet.take(self.xet, self.blobs)
        return self.blobs.get(digest)

    def xet_token(self) -> Answer:
        if self.xet is None:
            return Answer.error(404, "", "no Xet here")
        return hub_xet.token(self.xet)

    def trusts(self, asked: Asked) -> bool:
        return self.token is not None and asked.headers.get("authorization") == f"Bearer {self.token}"

    def may_write(self, asked: Asked) -> bool:
        return self.role != "read" and (self.token is None or self.trusts(asked))

    def close(self) -> None:
        for server in self._servers:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # How it answers.

    def _hub(self, asked: Asked) -> Answer:
        for module in (hub_lfs, hub_writes, hub_datasets):
            if (answer := module.answer(self, asked)) is not None:
                return answer
        if asked.path == "/api/models":
            return self._list(asked)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(.+))?", asked.path):
            return self._of_repo(asked, match[1], lambda repo: self._api(asked, repo, match[2] or ""))
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", asked.path):
            revision, path = match[2], match[3]
            return self._of_repo(
                asked, match[1], lambda repo: hub_datasets.resolve(self, repo, revision, path, is_lfs), bytes_too=True
            )
        return Answer.error(404, "", "no such page")

    def _cdn(self, asked: Asked) -> Answer:
        if asked.method == "PUT":
            return hub_writes.put(self, asked)
        digest = asked.path.rpartition("/")[2]
        if digest in self.blobs:
            return Answer(headers={"ETag": f'"cdn-{digest[:8]}"', "Accept-Ranges": "bytes"}, body=self.blobs[digest])
        for repo in list(self.repos.values()):
            for commit in repo.commits:
                for data in commit.files.values():
                    if sha256(data) == digest:
                        return Answer(headers={"ETag": f'"cdn-{digest[:8]}"', "Accept-Ranges": "bytes"}, body=data)
        return Answer(status=404)

    def _of_repo(self, asked: Asked, repo_id: str, answer: Any, *, bytes_too: bool = False) -> Answer:
        repo = self.repos.get(repo_id)
        if repo is None and repo_id in self.moved:
            query = f"?{urlencode(dict(asked.query), doseq=True)}" if asked.query else ""
            return Answer(status=307, headers={"Location": asked.path.replace(repo_id, self.moved[repo_id]) + query})
        if repo is None or (repo.private and not self.trusts(asked)):
            return Answer.error(401, "RepoNotFound", "Repository not found")
        if repo.disabled:
            return Answer.error(403, "", "Access to this resource is disabled.")
        if repo.gated and (bytes_too or asked.kind == "auth-check") and not self.trusts(asked):
            return Answer.error(401, "GatedRepo", f"Access to model {repo_id} is restricted.")
        return answer(repo)  # type: ignore[no-any-return]

    def _list(self, asked: Asked) -> Answer:
        one = {name: values[0] for name, values in asked.query.items()}
        wanted = [repo for repo in list(self.repos.values()) if self._listed(repo, asked, one)]
        key = "lastModified" if one.get("sort") == "lastModified" else "createdAt"
        wanted.sort(key=lambda repo: (describe(repo)[key], repo.id), reverse=True)
        start, size = int(one.get("cursor", "0")), min(int(one.get("limit", "1000")), self.models_per_page)
        page = [expanded(repo, asked.query.get("expand", [])) for repo in wanted[start : start + size]]
        if start + size >= len(wanted):
            return Answer.json(page)
        following = urlencode(dict(asked.query) | {"cursor": [str(start + size)]}, doseq=True)
        return Answer.json(page, Link=f'<{self.url}/api/models?{following}>; rel="next"')

    def _listed(self, repo: Repo, asked: Asked, one: Mapping[str, str]) -> bool:
        facts = describe(repo)
        return (
            (not repo.private or self.trusts(asked))
            and one.get("author") in (None, facts["author"])
            and one.get("pipeline_tag") in (None, facts.get("pipeline_tag"))
            and one.get("search", "").lower() in repo.id.lower()
            and ("gated" not in one or bool(repo.gated) == (one["gated"] == "true"))
            and set(asked.query.get("filter", [])) <= set(facts["tags"])
        )

    def _api(self, asked: Asked, repo: Repo, rest: str) -> Answer:
        what, _, tail = rest.partition("/")
        if what == "auth-check":
            return Answer.json({})
        if what == "refs":
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.sha}
            tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": sha} for n, sha in repo.tags.items()]
            return Answer.json({"branches": [branch], "converts": [], "tags": tags})
        revision, _, folder = tail.partition("/")
        commit = repo.at(unquote(revision) or "main")
        if commit is None:
            return Answer.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if what == "commits":
            index = repo.commits.index(commit)
            return Answer.json(
                [
                    {"id": c.sha, "title": c.title, "message": "", "date": stamp(c.date), "authors": []}
                    for c in reversed(repo.commits[: index + 1])
                ]
            )
        if what == "tree":
            inside = [path for path in sorted(commit.files) if path.startswith(f"{folder}/" if folder else "")]
            if folder and not inside:
                return Answer.error(404, "EntryNotFound", f"{folder} does not exist")
            return Answer.json([entry(path, commit.files[path]) for path in inside])
        if what == "paths-info":
            wanted = asked.query.get("paths", [])
            return Answer.json([entry(path, commit.files[path]) for path in wanted if path in commit.files])
        if what in ("", "revision"):
            if "expand" in asked.query:
                return Answer.json(expanded(repo, asked.query["expand"]))
            blobs = asked.query.get("blobs") == ["true"]
            siblings = [sibling(path, data, blobs=blobs) for path, data in sorted(commit.files.items())]
            return Answer.json(describe(repo) | {"sha": commit.sha, "siblings": siblings})
        return Answer.error(404, "", "no such page")

    def count(self, asked: Asked) -> int:
        """Note a request; returns its number."""
        with self._lock:
            self.log.append(asked)
            self._number += 1
            return self._number

    def next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for item in self._faults:
                if fnmatchcase(path, item[0]):
                    self._faults.remove(item)
                    return item[1]
        return None


def describe(repo: Repo) -> dict[str, Any]:
    """All that the Hub says of a repo without its files' sizes."""
    card, files = repo.card, repo.head.files
    library = repo.info.get("library_name", card.get("library_name"))
    config = parsed(files.get("config.json", b"{}"))
    short: dict[str, Any] = {
        name: config[name] for name in ("architectures", "model_type", "auto_map") if name in config
    }
    if "model_index.json" in files:
        short = {"diffusers": {"_class_name": parsed(files["model_index.json"]).get("_class_name")}}
    datasets = card.get("datasets") or []
    tags = [
        *([library] if library else []),
        *[str(tag) for tag in card.get("tags", [])],
        *[f"dataset:{name}" for name in ([datasets] if isinstance(datasets, str) else datasets)],
        *([f"license:{card['license']}"] if isinstance(card.get("license"), str) else []),
        "region:us",
    ]
    facts = {
        "_id": blob_id(repo.id.encode())[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": repo.head.sha,
        "lastModified": stamp(repo.head.date),
        "createdAt": stamp(repo.commits[0].date),
        "private": repo.private,
        "gated": repo.gated,
        "disabled": repo.disabled,
        "downloads": 0,
        "likes": 0,
        "tags": tags,
        "library_name": library,
        "pipeline_tag": card.get("pipeline_tag"),
        "config": short,
        "cardData": {name: value for name, value in card.items() if name != "model-index"},
        "model-index": card.get("model-index"),
        "siblings": [{"rfilename": path} for path in sorted(files)],
        "usedStorage": sum(map(len, files.values())),
    }
    return {name: value for name, value in (facts | repo.info).items() if value is not None}


def parsed(data: bytes) -> dict[str, Any]:
    """Read a config; the Hub says nothing of one that it cannot read."""
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def expanded(repo: Repo, names: list[str]) -> dict[str, Any]:
    facts = describe(repo)
    always = ("_id", "id", "modelId")
    few = (*always, "private", "tags", "pipeline_tag", "library_name", "createdAt", "likes", "downloads")
    return {name: facts[name] for name in ((*always, *names) if names else few) if name in facts}


def sibling(path: str, data: bytes, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    found: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": blob_id(data)}
    if is_lfs(path):
        found["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
    return found


def entry(path: str, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "path": path, "oid": blob_id(data), "size": len(data)}
    if is_lfs(path):
        found["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 134}
    return found


def is_lfs(path: str, size: int = 0) -> bool:
    return path.endswith(_LFS)
