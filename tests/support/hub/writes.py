"""How the Hub stand-in is written to: repos, uploads, commits and tags of datasets and Spaces."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from support.hub.datasets import is_lfs, missing
from support.hub.types import Answer, Asked, Repo, blob_id, sha256

if TYPE_CHECKING:
    from support.hub.server import HubServer

ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"
# What a new static Space holds.
SPACE_FILES = {
    "README.md": b"---\ntitle: Kernels\nsdk: static\n---\n",
    "index.html": b"<h1>Welcome to your static Space!</h1>\n",
    "style.css": b"body { padding: 2rem; }\n",
}


def answer(hub: HubServer, asked: Asked) -> Answer | None:
    """Return the answer to a request that writes, None for any other."""
    if asked.path == "/api/whoami-v2":
        if hub.token is not None and not hub.trusts(asked):
            return Answer.error(401, "", "Invalid username or password.")
        return Answer.json({"name": "org", "type": "user", "auth": {"accessToken": {"role": hub.role}}})
    if asked.path == "/api/validate-yaml":
        return _validate(json.loads(asked.body)["content"])
    if match := re.fullmatch(r"/api/(datasets|spaces)/([^/]+/[^/]+)/(preupload|commit|tag)/(.+)", asked.path):
        what, tail = match[3], match[4]
    elif match := re.fullmatch(r"/(datasets|spaces)/([^/]+/[^/]+)\.git/info/lfs/(objects/batch|verify)", asked.path):
        what, tail = match[3], ""
    elif asked.path == "/api/repos/create":
        return _create(hub, json.loads(asked.body)) if hub.may_write(asked) else _forbidden()
    else:
        return None
    return _of_repo(hub, asked, hub.of_type(match[1]).get(match[2]), what, tail)


def _of_repo(hub: HubServer, asked: Asked, repo: Repo | None, what: str, tail: str) -> Answer:
    if repo is None:
        return missing()
    if not hub.may_write(asked):
        return _forbidden()
    if what == "commit":
        return _commit(hub, repo, asked)
    if what == "tag":
        return _tag(repo, asked, tail)
    given = json.loads(asked.body)
    if what == "preupload":
        return Answer.json({"files": [_mode(repo, item) for item in given["files"]]})
    if what == "verify":
        known = given["oid"] in hub.blobs
        return Answer.json({}) if known else Answer.error(404, "", "no such object")
    objects = [_action(hub, repo, item) for item in given["objects"]]
    return Answer.json({"transfer": "basic", "objects": objects})


def put(hub: HubServer, asked: Asked) -> Answer:
    """Take the content of a large file, at the second origin."""
    digest = asked.path.rpartition("/")[2]
    if sha256(asked.body) != digest:
        return Answer.error(400, "", "the content has another sha256")
    hub.blobs[digest] = asked.body
    return Answer()


def _forbidden() -> Answer:
    return Answer.error(403, "", "You don't have the rights to write to this repo")


def _validate(content: str) -> Answer:
    match = re.match(r"---\n(.*?)^---\n", content, re.DOTALL | re.MULTILINE)
    try:
        header = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError as error:
        header = str(error)
    if isinstance(header, dict):
        return Answer.json({"errors": [], "warnings": []})
    body = json.dumps({"errors": [{"message": "the header is no YAML mapping"}], "warnings": []}).encode()
    return Answer(status=400, headers={"Content-Type": "application/json"}, body=body)


def _create(hub: HubServer, given: dict[str, Any]) -> Answer:
    repo_id = f"{given['organization']}/{given['name']}"
    kind = given.get("type")
    if kind not in ("dataset", "space") or (kind == "space" and given.get("sdk") != "static"):
        return Answer.error(400, "", "only datasets and static Spaces here")
    repos = hub.of_type(f"{kind}s")
    url = {"url": f"{hub.url}/{kind}s/{repo_id}"}
    if repo_id in repos:
        body = json.dumps({"error": f"You already created this {kind} repo", **url}).encode()
        return Answer(status=409, headers={"Content-Type": "application/json"}, body=body)
    repos[repo_id] = repo = Repo(id=repo_id, commits=[])
    hub.append(repo, {".gitattributes": ATTRIBUTES} | (SPACE_FILES if kind == "space" else {}), "initial commit")
    return Answer.json(url)


def _mode(repo: Repo, item: dict[str, Any]) -> dict[str, Any]:
    lfs = is_lfs(item["path"], item["size"])
    told = {"path": item["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
    data = repo.head.files.get(item["path"])
    return told if data is None else told | {"oid": sha256(data) if lfs else blob_id(data)}


def _action(hub: HubServer, repo: Repo, item: dict[str, Any]) -> dict[str, Any]:
    told = {"oid": item["oid"], "size": item["size"], "authenticated": True}
    if item["oid"] in hub.blobs:
        return told
    actions = {
        "upload": {"href": f"{hub.cdn}/lfs/{item['oid']}", "header": {}},
        "verify": {"href": f"{hub.url}/datasets/{repo.id}.git/info/lfs/verify", "header": {}},
    }
    return told | {"actions": actions}


def _commit(hub: HubServer, repo: Repo, asked: Asked) -> Answer:
    lines = [json.loads(line) for line in asked.body.splitlines()]
    header = lines[0]["value"]
    with hub.writing:
        if header.get("parentCommit", repo.head.sha) != repo.head.sha:
            return stale()
        files = dict(repo.head.files)
        for line in lines[1:]:
            value = line["value"]
            path = value["path"]
            if line["key"] == "file":
                files[path] = base64.b64decode(value["content"])
                if is_lfs(path, 0):
                    return Answer.error(400, "", f"{path} must go through LFS")
            elif line["key"] == "lfsFile":
                data = hub.content(value["oid"])
                if data is None or value.get("size", len(data)) != len(data):
                    return Answer.error(400, "", f"LFS pointer pointed to a file that does not exist: {path}")
                files[path] = data
            elif line["key"] == "deletedFile":
                if path not in files:
                    return Answer.error(404, "EntryNotFound", "A file with this name doesn't exist")
                del files[path]
            else:
                return Answer.error(400, "", f"unknown key {line['key']}")
        sha = hub.append(repo, files, header["summary"])
    return Answer.json({"commitUrl": f"{hub.url}/datasets/{repo.id}/commit/{sha}", "commitOid": sha, "success": True})


def stale() -> Answer:
    return Answer.error(412, "", "A commit has happened since. Please refresh and try again.")


def _tag(repo: Repo, asked: Asked, tail: str) -> Answer:
    if asked.method == "DELETE":
        return Answer.json({}) if repo.tags.pop(tail, None) else Answer.error(404, "RevisionNotFound", "no such tag")
    name = json.loads(asked.body)["tag"]
    commit = repo.at(tail)
    if commit is None:
        return Answer.error(404, "RevisionNotFound", f"Invalid rev id: {tail}")
    if name in repo.tags:
        return Answer.error(409, "", f"Tag {name} exists already")
    repo.tags[name] = commit.sha
    return Answer.json({})
