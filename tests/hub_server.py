"""A Hub stand-in on loopback: repos with commits, listings, LFS files on a second origin, errors and faults.

`with HubServer() as hub:` then `hub.create("org/net", {"model.safetensors": data}, card={"license": "mit"})`,
`hub.commit("org/net", {"README.md": b"..."}, delete=["old.bin"])`, `hub.move("org/net", "org/new")`,
`hub.delete("org/net")`, `hub.repos["org/net"].gated = "auto"`, `hub.fail("*/resolve/*", Fault(status=503))`.
`hub.log` says what was asked, `hub.counts()` how often each kind of request came.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import yaml

# By name, as the Hub's own .gitattributes has it.
_LFS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".npz", ".msgpack", ".h5", ".pkl", ".onnx_data")
_DAY_ONE = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it arrived. kind: list, info, tree, paths-info, refs, commits, resolve, lfs, auth-check, other."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    kind: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def json(cls, value: Any, **headers: str) -> Answer:
        return cls(headers={"Content-Type": "application/json", **headers}, body=json.dumps(value).encode())

    @classmethod
    def error(cls, status: int, code: str, message: str) -> Answer:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        return cls(status=status, headers=headers, body=json.dumps({"error": message}).encode())


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one answer: another status, or a body cut after so many bytes, then the line ends."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    end: Literal["close", "reset"] = "close"


@dataclass(kw_only=True)
class Commit:
    sha: str
    title: str
    date: datetime
    files: dict[str, bytes]


@dataclass(kw_only=True)
class Repo:
    """A model repo. card: front matter; info: fields of the listing that are set rather than derived."""

    id: str
    commits: list[Commit]
    card: dict[str, Any] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    gated: str | bool = False
    private: bool = False
    disabled: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        if revision == "main":
            return self.head
        sha = self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit.sha == sha), None)


class HubServer:
    """Two servers on loopback: `url`, the Hub, and `cdn`, to which LFS files are redirected."""

    def __init__(self, *, page_size: int = 1000, token: str | None = None) -> None:
        self.page_size = page_size
        self.token = token
        self.repos: dict[str, Repo] = {}
        self.moved: dict[str, str] = {}
        self.log: list[Asked] = []
        self._faults: list[tuple[str, Fault]] = []
        self._clock = 0
        self._lock = threading.Lock()
        self._servers = [self._serve(self._hub), self._serve(self._cdn)]
        self.url, self.cdn = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

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
        self._clock += 1
        sha = hashlib.sha1(f"{repo_id} {self._clock}".encode()).hexdigest()
        date = _DAY_ONE + timedelta(days=self._clock)
        repo.commits.append(Commit(sha=sha, title=title, date=date, files=files))
        return sha

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
        """Empty the log."""
        self.log.clear()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # How it answers.

    def _hub(self, asked: Asked) -> Answer:
        if asked.path == "/api/models":
            return self._list(asked)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(.+))?", asked.path):
            return self._of_repo(asked, match[1], lambda repo: self._api(asked, repo, match[2] or ""))
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", asked.path):
            return self._of_repo(asked, match[1], lambda repo: self._resolve(repo, match[2], match[3]), bytes_too=True)
        return Answer.error(404, "", "no such page")

    def _cdn(self, asked: Asked) -> Answer:
        digest = asked.path.rpartition("/")[2]
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
        if repo is None or (repo.private and not self._trusts(asked)):
            return Answer.error(401, "RepoNotFound", "Repository not found")
        if repo.disabled:
            return Answer.error(403, "", "Access to this resource is disabled.")
        if repo.gated and (bytes_too or asked.kind == "auth-check") and not self._trusts(asked):
            return Answer.error(401, "GatedRepo", f"Access to model {repo_id} is restricted.")
        return answer(repo)  # type: ignore[no-any-return]

    def _trusts(self, asked: Asked) -> bool:
        return self.token is not None and asked.headers.get("authorization") == f"Bearer {self.token}"

    def _list(self, asked: Asked) -> Answer:
        one = {name: values[0] for name, values in asked.query.items()}
        wanted = [repo for repo in list(self.repos.values()) if self._listed(repo, asked, one)]
        key = "lastModified" if one.get("sort") == "lastModified" else "createdAt"
        wanted.sort(key=lambda repo: (describe(repo)[key], repo.id), reverse=True)
        start, size = int(one.get("cursor", "0")), min(int(one.get("limit", "1000")), self.page_size)
        page = [expanded(repo, asked.query.get("expand", [])) for repo in wanted[start : start + size]]
        if start + size >= len(wanted):
            return Answer.json(page)
        following = urlencode(dict(asked.query) | {"cursor": [str(start + size)]}, doseq=True)
        return Answer.json(page, Link=f'<{self.url}/api/models?{following}>; rel="next"')

    def _listed(self, repo: Repo, asked: Asked, one: Mapping[str, str]) -> bool:
        facts = describe(repo)
        return (
            (not repo.private or self._trusts(asked))
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

    def _resolve(self, repo: Repo, revision: str, path: str) -> Answer:
        commit = repo.at(revision)
        if commit is None:
            return Answer.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if path not in commit.files:
            return Answer.error(404, "EntryNotFound", "Entry not found")
        data = commit.files[path]
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        if not is_lfs(path):
            return Answer(headers=headers | {"ETag": f'"{blob_id(data)}"'}, body=data)
        linked = {"X-Linked-Etag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data)), "ETag": f'"{sha256(data)}"'}
        return Answer(status=302, headers=headers | linked | {"Location": f"{self.cdn}/lfs/{sha256(data)}"})

    # How it speaks HTTP.

    def _serve(self, route: Any) -> ThreadingHTTPServer:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query = parse_qs(parts.query, keep_blank_values=True)
                if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
                    query |= parse_qs(body.decode())
                path, headers = unquote(parts.path), {k.lower(): v for k, v in self.headers.items()}
                asked = Asked(method=self.command, path=path, query=query, headers=headers, kind=kind(path))
                hub.log.append(asked)
                fault = hub._next_fault(path)
                if fault is not None and fault.status is not None:
                    self._send(asked, Answer(status=fault.status, headers=fault.headers), None)
                else:
                    self._send(asked, ranged(route(asked), headers.get("range")), fault)

            do_HEAD = do_POST = do_GET  # noqa: N815 - the base class's names

            def _send(self, asked: Asked, answer: Answer, fault: Fault | None) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if asked.method == "HEAD":
                    return
                self.wfile.write(answer.body if fault is None else answer.body[: fault.cut])
                if fault is not None:
                    self.wfile.flush()
                    if fault.end == "reset":
                        time.sleep(0.05)  # so that the client has the first bytes
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def _next_fault(self, path: str) -> Fault | None:
        with self._lock:
            for item in self._faults:
                if fnmatchcase(path, item[0]):
                    self._faults.remove(item)
                    return item[1]
        return None


def kind(path: str) -> str:
    """Name the endpoint that a path belongs to."""
    if path == "/api/models":
        return "list"
    if path.startswith("/lfs/"):
        return "lfs"
    if "/resolve/" in path:
        return "resolve"
    match = re.fullmatch(r"/api/models/[^/]+/[^/]+(?:/([^/]+).*)?", path)
    return "other" if match is None else {None: "info", "revision": "info"}.get(match[1], str(match[1]))


def ranged(answer: Answer, wanted: str | None) -> Answer:
    """Cut an answer to the range that was asked for."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if answer.status != 200 or match is None:
        return answer
    size = len(answer.body)
    start = int(match[1]) if match[1] else max(size - int(match[2]), 0)
    stop = min(int(match[2]) + 1, size) if match[1] and match[2] else size
    if start >= size:
        return Answer(status=416, headers={"Content-Range": f"bytes */{size}"})
    headers = {**answer.headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return Answer(status=206, headers=headers, body=answer.body[start:stop])


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


def is_lfs(path: str) -> bool:
    return path.endswith(_LFS)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def stamp(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.000Z")
