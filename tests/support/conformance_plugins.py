"""Plugins for the conformance kit: one that keeps every promise, and ways to break one promise each."""

from __future__ import annotations

from dataclasses import dataclass

GOOD = '''
"""The zoo `good`: two pages of an index."""

from dataclasses import replace
from filtercrawl.api import Checkpoint, CheckpointMetadata, Query, RemoteFile, UnsupportedError, hookimpl
from filtercrawl.testing import FakeZoo
import os, random, socket, urllib.request


class Good:
    name = "good"

    def checkpoints(self, transport, query):
        for page in transport.pages(query.settings["index"]):
            for row in page:
                if query.matches(row["name"]):
                    yield self.offer(row)

    def offer(self, row):
        file = RemoteFile(url=row["url"], size=row["size"], sha256=row["sha256"], path=row["name"])
        meta = CheckpointMetadata(task="image-classification", license="MIT", released="2024-05-31", extra={"width": 4})
        return Checkpoint(name=row["name"], revision=row["sha256"], files=(file,), meta=meta)

    def build(self, checkpoint):
        from torch import nn
        from filtercrawl.extraction.architecture import on_meta
        return on_meta(lambda: nn.Conv2d(3, checkpoint.meta.extra["width"], 3))


class Zoo(FakeZoo):
    @property
    def settings(self):
        return {"index": f"{self.server.url}/index.json"}

    def serve(self):
        rows = [
            {"name": name, "url": self.url(name), "size": len(data), "sha256": self.sha256(name)}
            for name, data in sorted(self.weights.items())
        ]
        link = {"Link": f'<{self.server.url}/more.json>; rel="next"'}
        self.server.json("/index.json", rows[:2], link)
        self.server.json("/more.json", rows[2:])


def conformance(server):
    return Zoo(server)


@hookimpl
def filtercrawl_sources():
    yield Good()
'''

_LIST = '        for page in transport.pages(query.settings["index"]):\n'
_WANTS = 'if query.matches(row["name"]):'
_OFFER = '        return Checkpoint(name=row["name"], revision=row["sha256"], files=(file,), meta=meta)\n'
_BUILD = '        return on_meta(lambda: nn.Conv2d(3, checkpoint.meta.extra["width"], 3))\n'
_BODY = '            for row in page:\n                if query.matches(row["name"]):\n                    yield self.offer(row)\n'


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One broken promise: `old` in the good plugin becomes `new`; `said`: part of the finding's text."""

    check: str
    old: str
    new: str
    said: str

    def text(self) -> str:
        assert self.old in GOOD
        return GOOD.replace(self.old, self.new)


def offering(**fields: str) -> str:
    """The good plugin's last line, with these fields replaced by expressions."""
    given = {"name": 'row["name"]', "revision": 'row["sha256"]', "files": "(file,)", "meta": "meta", **fields}
    return f"        return Checkpoint({', '.join(f'{name}={text}' for name, text in given.items())})\n"


def body(text: str) -> str:
    """The good plugin's loop over a page, replaced."""
    return "".join(f"            {line}\n" for line in text.splitlines())


BAD = {
    "empty": Bad(check="listing", old=_LIST, new="        for page in ():\n", said="the listing is empty"),
    "raises": Bad(check="listing", old=_LIST, new="        for page in [[{}]]:\n", said="KeyError: 'name'"),
    "first page only": Bad(
        check="listing", old=_LIST, new='        for page in [transport.get_json(query.settings["index"])]:\n', said="net-c"
    ),
    "own socket": Bad(
        check="network",
        old=_LIST,
        new='        socket.create_connection(("127.0.0.1", 9), 1)\n' + _LIST,
        said="connects to 127.0.0.1 by itself",
    ),
    "own client that hides its failure": Bad(
        check="network",
        old=_LIST,
        new="        try:\n            urllib.request.urlopen('http://203.0.113.9/', timeout=1)\n"
        "        except OSError:\n            pass\n" + _LIST,
        said="connects to 203.0.113.9 by itself",
    ),
    "elsewhere through the transport": Bad(
        check="network",
        old=_LIST,
        new="        try:\n            transport.get_json('http://203.0.113.9/x.json')\n"
        "        except Exception:\n            pass\n" + _LIST,
        said="connects to 203.0.113.9",
    ),
    "size is text": Bad(
        check="types", old=_OFFER, new=offering(files='(replace(file, size=str(row["size"])),)'), said="files[0].size"
    ),
    "files in a list": Bad(check="types", old=_OFFER, new=offering(files="[file]"), said="files"),
    "no files": Bad(check="types", old=_OFFER, new=offering(files="()"), said="files is ()"),
    "short hash": Bad(check="types", old=_OFFER, new=offering(files='(replace(file, sha256="ab"),)'), said="files"),
    "extra is no JSON": Bad(
        check="types", old=_OFFER, new=offering(meta="replace(meta, extra={'when': object()})"), said="meta.extra"
    ),
    "metrics with NaN": Bad(
        check="types", old=_OFFER, new=offering(meta="replace(meta, metrics={'top1': float('nan')})"), said="meta.metrics"
    ),
    "task of its own": Bad(
        check="vocabulary", old=_OFFER, new=offering(meta="replace(meta, task='classify')"), said="task is 'classify'"
    ),
    "licence in words": Bad(
        check="vocabulary", old=_OFFER, new=offering(meta="replace(meta, license='free to use')"), said="license"
    ),
    "date in words": Bad(
        check="vocabulary", old=_OFFER, new=offering(meta="replace(meta, released='May 2024')"), said="released"
    ),
    "name leads out": Bad(check="names", old=_OFFER, new=offering(name='"../" + row["name"]'), said="'../net-a'"),
    "one name for all": Bad(check="names", old=_OFFER, new=offering(name='"net"'), said="two checkpoints are named"),
    "two names, one path": Bad(
        check="names", old=_OFFER, new=offering(name='{"net-a": "n t", "net-b": "n%20t"}.get(row["name"], "x")'),
        said="have the same path 'n t'",
    ),
    "token read from the environment": Bad(
        check="tokens", old=_OFFER,
        new=offering(meta='replace(meta, extra={"sent": os.environ["FILTERCRAWL_CHECK_TOKEN"]})'), said="net-a: one of its fields",
    ),
    "password in the address": Bad(
        check="tokens", old=_OFFER, new=offering(files='(replace(file, url="http://me:pass@zoo.example/x"),)'),
        said="contains a token",
    ),
    "a list": Bad(
        check="lazy", old="    def checkpoints(self, transport, query):\n",
        new="    def checkpoints(self, transport, query):\n        return list(self.all(transport, query))\n\n"
        "    def all(self, transport, query):\n",
        said="finished collection",
    ),
    "asks too early": Bad(
        check="lazy", old="    def checkpoints(self, transport, query):\n",
        new="    def checkpoints(self, transport, query):\n        transport.get_json(query.settings['index'])\n"
        "        return self.all(transport, query)\n\n    def all(self, transport, query):\n",
        said="before the first checkpoint",
    ),
    "fetches weights to list them": Bad(
        check="lazy", old=_BODY, new=body('for row in page:\n    transport.client.get(row["url"])\n    yield self.offer(row)'),
        said="3 weight files",
    ),
    "names by chance": Bad(
        check="stable-ids", old=_OFFER, new=offering(name='row["name"] + str(random.random())'), said="in one listing of two"
    ),
    "revision by chance": Bad(
        check="stable-ids", old=_OFFER, new=offering(revision="str(random.random())"), said="from listing to listing"
    ),
    "pattern ignored": Bad(check="pattern", old=_WANTS, new="if True:", said="offers 'net-b' as well"),
    "files that are not there": Bad(
        check="sync", old=_OFFER, new=offering(files='(replace(file, url=file.url.replace("/files/", "/file/")),)'),
        said="good/net-a cannot be read",
    ),
    "nothing to tell a change by": Bad(
        check="incremental", old=_OFFER,
        new=offering(revision="str(random.random())", files="(replace(file, sha256=None),)"), said="a second run reads",
    ),
    "revision by name": Bad(
        check="revision", old=_OFFER, new=offering(revision='row["name"]'), said="its bytes have changed, and its revision"
    ),
    "revision of the whole index": Bad(
        check="revision", old=_BODY,
        new=body('for row in page:\n    yield replace(self.offer(row), revision=str(hash(str(page))))'),
        said="net-b: its revision changes when another checkpoint does",
    ),
    "revision of the address": Bad(check="signed-url", old=_OFFER, new=offering(revision='row["url"]'), said="new signature"),
    "change not noticed": Bad(check="change", old=_OFFER, new=offering(revision='row["name"]'), said="finds 0 changed"),
    "remembers what is gone": Bad(
        check="deletion", old=_BODY + "\n",
        new=_BODY + "        for name in sorted(query.previous_states):\n            file = RemoteFile(url='http://127.0.0.1:9/x')\n"
        "            if name == 'net-a':\n"
        "                yield Checkpoint(name=name, revision=query.previous_states[name].revision, files=(file,))\n\n",
        said="misses nothing",
    ),
    "swallows errors": Bad(
        check="broken-listing", old=_LIST + _BODY,
        new="        try:\n            for page in transport.pages(query.settings['index']):\n"
        "                yield from map(self.offer, page)\n        except Exception:\n            pass\n",
        said="the server fails at request 1 of a listing",
    ),
    "swallows errors half-way": Bad(
        check="broken-listing", old=_LIST + _BODY,
        new="        pages = transport.pages(query.settings['index'])\n        yield from map(self.offer, next(pages))\n"
        "        try:\n            yield from map(self.offer, next(pages))\n        except Exception:\n            pass\n",
        said="good/net-c would be removed",
    ),
    "an error of its own": Bad(
        check="typed-errors", old=_LIST,
        new="        if transport.client.get(query.settings['index']).status_code != 200:\n"
        "            raise RuntimeError('oh')\n" + _LIST,
        said="RuntimeError: oh",
    ),
    "state between runs": Bad(
        check="crash", old=_BODY,
        new=body("if query.previous_states:\n    raise RuntimeError('begun before')\nfor row in page:\n    yield self.offer(row)"),
        said="does not bring the rest (RuntimeError: begun before)",
    ),
    "pattern forgets the rest": Bad(
        check="pattern-removal", old=_WANTS, new='if query.pattern is None or row["name"] != "net-c":',
        said="removes good/net-b",
    ),
    "build asks the network": Bad(
        check="build", old=_BUILD, new="        urllib.request.urlopen('http://203.0.113.9/')\n",
        said="`build` connects to 203.0.113.9",
    ),
    "build remembers the listing": Bad(
        check="build", old=_BUILD, new="        return self.listed[checkpoint.name]\n",
        said="in a fresh process raises AttributeError",
    ),
    "build makes weights": Bad(check="build", old=_BUILD, new="        return nn.Conv2d(64, 64, 3)\n", said="meta device"),
    "build makes no network": Bad(check="build", old=_BUILD, new="        return 3\n", said="returns int"),
    "a record that cannot be sent": Bad(
        check="build", old=_OFFER, new=offering(meta="replace(meta, extra={'f': lambda: 0})"), said="cannot be pickled"
    ),
}  # fmt: skip
