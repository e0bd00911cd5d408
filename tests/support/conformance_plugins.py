"""Plugins for the conformance kit: one that keeps every promise, and ways to break one promise each."""

from __future__ import annotations

from dataclasses import dataclass

GOOD = '''
"""The zoo `good`: an index in pages."""

from dataclasses import replace
from filtercrawl.api import Checkpoint, CheckpointMetadata, Query, RemoteFile, Skipped, UnsupportedError, hookimpl, to_spdx
from filtercrawl.testing import FakeZoo
import datetime, os, random, socket, time, urllib.request


class Good:
    name = "good"

    def checkpoints(self, transport, query):
        for page in transport.pages(query.settings["index"]):
            for row in page:
                if query.matches(row["name"]):
                    yield self.offer(row)

    def offer(self, row):
        file = RemoteFile(url=row["url"], size=row["size"], sha256=row["sha256"], path=row["name"])
        licensed = {"license": to_spdx(row["license"]), "license_evidence": row["license"]}
        meta = CheckpointMetadata(task="image-classification", released="2024-05-31", extra={"width": 4}, **licensed)
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
            {"name": name, "url": self.url(name), "size": len(data), "sha256": self.sha256(name), "license": self.license(name)}
            for name, data in sorted(self.weights.items())
        ]
        self.put_pages("/index.json", rows)


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
        check="listing", old=_LIST, new='        for page in [transport.get_json(query.settings["index"])]:\n', said="net-ab"
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
    "name leads out": Bad(check="names", old=_OFFER, new=offering(name='"../" + row["name"]'), said="'../net-B'"),
    "one name for all": Bad(check="names", old=_OFFER, new=offering(name='"net"'), said="two checkpoints are named"),
    "two names, one path": Bad(
        check="names", old=_OFFER, new=offering(name='{"net-a": "n t", "net-B": "n%20t"}.get(row["name"], "x")'),
        said="have the same path 'n t'",
    ),
    "token read from the environment": Bad(
        check="tokens", old=_OFFER,
        new=offering(meta='replace(meta, extra={"sent": os.environ["FILTERCRAWL_CHECK_TOKEN"]})'), said="one of its fields",
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
    "pattern ignored": Bad(check="pattern", old=_WANTS, new="if True:", said="offers 'net-B' as well"),
    "files that are not there": Bad(
        check="sync", old=_OFFER, new=offering(files='(replace(file, url=file.url.replace("/files/", "/file/")),)'),
        said="good/net-B cannot be read",
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
        said="net-B: its revision changes when another checkpoint does",
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
        said="answers 401 from request 1 of a listing on",
    ),
    "swallows errors half-way": Bad(
        check="broken-listing", old=_LIST + _BODY,
        new="        pages = transport.pages(query.settings['index'])\n        yield from map(self.offer, next(pages))\n"
        "        try:\n            yield from map(self.offer, next(pages))\n        except Exception:\n            pass\n",
        said="good/net-ab would be removed",
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
        check="pattern-removal", old=_WANTS, new='if query.pattern is None or row["name"] != "net-ab":',
        said="removes good/net-B",
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
    "only two pages": Bad(
        check="many", old=_LIST, new=_LIST.replace("transport.pages(", "__import__('itertools').islice(transport.pages(").replace(":\n", ", 2):\n"),
        said="of 213 checkpoints 206 are not listed",
    ),
    "hides what is known": Bad(check="known", old=_WANTS, new='if row["name"] not in query.previous_states:', said="is not offered once"),
    "an empty page is the end": Bad(
        check="damaged-listing", old=_LIST, new=_LIST + "            if not page:\n                return\n",
        said="puts an empty page between two others",
    ),
}  # fmt: skip
# Sources that look right, and the checks that tell; of each the first finding.
_SKIPS = 'query.previous_states.get(row["name"])'


def _ends_at(error: str) -> str:
    """The good plugin's listing, which takes an error for its end."""
    return (
        "        pages = transport.pages(query.settings['index'])\n        while True:\n            try:\n"
        "                page = next(pages, None)\n"
        f"            except {error} as error:\n                return\n"
        "            if page is None:\n                return\n"
        "            for row in page:\n                if query.matches(row['name']):\n                    yield self.offer(row)\n"
    )


def _swallows(status: int) -> Bad:
    """A source that takes one status for the end of its listing."""
    import_ = "        from filtercrawl.api import NetworkError\n"
    text = _ends_at("NetworkError").replace(
        "                return\n",
        f"                if '{status}' not in str(error):\n                    raise\n                return\n",
        1,
    )
    return Bad(check="broken-listing", old=_LIST + _BODY, new=import_ + text, said=f"the server answers {status}")


WRONG_SOURCES = {
    "names in lower case": Bad(check="listing", old=_OFFER, new=offering(name='row["name"].lower()'), said="the zoo has 'net-B'"),
    "names with an index": Bad(
        check="listing", old=_BODY, new=body('for number, row in enumerate(page):\n    yield replace(self.offer(row), name=f"{number}-{row[\'name\']}")'),
        said="the zoo has 'net-B'",
    ),
    "pages capped": BAD["only two pages"],
    "a swallowed 401": _swallows(401),
    "a swallowed 403": _swallows(403),
    "a swallowed 404": _swallows(404),
    "a swallowed 429": _swallows(429),
    "a swallowed 500": _swallows(500),
    "an etag that is the time": Bad(
        check="stable-ids", old=_OFFER, new=offering(revision="None", files="(replace(file, etag=str(int(time.time() // 60))),)"),
        said="its revision or etag changes",
    ),
    "an etag that is the day": Bad(
        check="stable-ids", old=_OFFER, new=offering(revision="None", files="(replace(file, etag=str(datetime.date.today())),)"),
        said="its revision or etag changes",
    ),
    "a pattern as a part of the name": Bad(
        check="pattern", old=_WANTS, new='if query.pattern is None or query.pattern in row["name"]:', said="offers 'net-ab' as well"
    ),
    "a revision that is the size": Bad(
        check="revision", old=_OFFER, new=offering(revision='str(row["size"])'), said="its bytes have changed, and its revision"
    ),
    "unknown licenses dropped": Bad(
        check="listing", old=_WANTS, new=_WANTS[:-1] + ' and to_spdx(row["license"]):', said="the zoo has 'net-B'"
    ),
    "licenses in words": Bad(
        check="vocabulary", old='to_spdx(row["license"])', new='row["license"]', said="license is 'ACME research"
    ),
    "skipped because it is known": BAD["hides what is known"],
    "never again what was once skipped": Bad(
        check="known", old=_WANTS,
        new='if ' + _SKIPS + ' and ' + _SKIPS + '.outcome == "skipped":\n                    yield Skipped(name=row["name"], reason="as before")\n                elif query.matches(row["name"]):',
        said="once the dataset has it as skipped",
    ),
    "an empty page is the end": BAD["an empty page is the end"],
    "half a page is the end": Bad(
        check="damaged-listing", old=_LIST + _BODY, new=_ends_at("Exception").replace("                return\n", "                if 'JSON' in str(error):\n                    raise\n                return\n", 1), said="sends half of a page"
    ),
    "JSON that breaks off is the end": Bad(
        check="damaged-listing", old=_LIST + _BODY, new=_ends_at("Exception").replace("                return\n", "                if 'JSON' not in str(error):\n                    raise\n                return\n", 1), said="sends JSON that breaks off"
    ),
    "rows without a name passed over": Bad(
        check="damaged-listing", old=_BODY, new=body('for row in page:\n    if row.get("name") and query.matches(row["name"]):\n        yield self.offer(row)'),
        said="leaves out the key 'name'",
    ),
    "a wrong link is the end": Bad(
        check="damaged-listing", old=_LIST + _BODY, new=_ends_at("Exception").replace("                return\n", "                if '.missing' not in str(error):\n                    raise\n                return\n", 1), said="links to a page that is not there"
    ),
}  # fmt: skip
