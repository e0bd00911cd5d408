"""The zoo acme: an index in pages, and addresses that are signed when a file is opened."""

from collections.abc import Iterator
from dataclasses import replace

from filtercrawl.api import (
    Checkpoint,
    CheckpointMetadata,
    Query,
    RemoteFile,
    Skipped,
    Source,
    Transport,
    hookimpl,
    to_spdx,
)

FILTERCRAWL_API = 1
INDEX = "https://zoo.example/index.json"


class Acme:
    name = "acme"

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Checkpoint | Skipped]:
        for page in transport.pages(query.settings.get("index", INDEX)):
            for row in page:
                if query.matches(row["name"]):
                    yield Skipped(name=row["name"], reason="retracted") if row["retracted"] else offer(row)

    def resolve(self, transport: Transport, file: RemoteFile) -> RemoteFile:
        return replace(file, url=transport.get_json(f"{file.url}.signed")["url"])


def offer(row: dict) -> Checkpoint:
    file = RemoteFile(url=row["url"], size=row["size"], sha256=row["sha256"], path=row["name"])
    meta = CheckpointMetadata(license=to_spdx(row["license"]), license_evidence=row["license"])
    return Checkpoint(name=row["name"], revision=row["sha256"], files=(file,), meta=meta)


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield Acme()
