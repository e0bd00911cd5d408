"""What the Hub stand-in is made of: requests, answers, faults, repos and commits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it arrived. kind: list, info, tree, paths-info, refs, commits, resolve, lfs, auth-check, other."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    kind: str
    body: bytes = b""


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
        headers = {"Content-Type": "application/json", "X-Error-Message": message} | (
            {"X-Error-Code": code} if code else {}
        )
        return cls(status=status, headers=headers, body=json.dumps({"error": message}).encode())


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one answer: another status, or a body cut after so many bytes, then the line ends.

    line: the connection is reset without an answer, before the request is acted on or after it was.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    end: Literal["close", "reset"] = "close"
    line: Literal["before", "after"] | None = None


@dataclass(kw_only=True)
class Commit:
    sha: str
    title: str
    date: datetime
    files: dict[str, bytes]


@dataclass(kw_only=True)
class Repo:
    """A repo. card: front matter; info: fields of the listing that are set rather than derived."""

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


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def stamp(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.000Z")
