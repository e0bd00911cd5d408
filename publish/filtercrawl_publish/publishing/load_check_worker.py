"""The process that loads a commit back; run as a module, with a job on stdin."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq

from filtercrawl.config import resolve
from filtercrawl.transport import hub, network


def main() -> None:
    """Answer with a list of what is wrong, as one line of JSON."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answer, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    datasets.disable_progress_bars()
    datasets.config.USE_PARQUET_EXPORT = False  # what was published is loaded, nothing that was made of it
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    client = hub.api(network(resolve({}).network))
    print(json.dumps(list(_problems(job, client))), file=answer, flush=True)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def _problems(job: dict[str, Any], client: Any) -> Iterator[str]:
    for part in job["parts"]:
        chosen = {"path": job["path"], "name": part["name"], "split": "train", "revision": job["revision"]}
        streamed = datasets.load_dataset(**chosen, streaming=True)
        if not part["whole"]:
            if not list(islice(streamed, 1)):
                yield f"{part['name']} has no rows"
            sizes = [_examined(job, file, client) for file in part["files"]]
            yield from (size for size in sizes if isinstance(size, str))
            continue
        loaded = datasets.load_dataset(**chosen)
        if streamed.features != loaded.features:
            yield f"{part['name']} has other features when it is streamed"
        rows = 0
        for file in part["files"]:
            examined = _examined(job, file, client)
            if isinstance(examined, str):
                yield examined
            else:
                rows += examined
        counted = sum(len(batch) for batch in streamed.with_format("arrow").iter(1000))
        if not rows == len(loaded) == counted:
            yield f"{part['name']} has {rows} rows in its files, {len(loaded)} loaded, {counted} streamed"
        yield from _miscounted(part["name"], loaded, job["counts"])


def _examined(job: dict[str, Any], file: tuple[str, int, str], client: Any) -> int | str:
    """Return the rows of a file, or what is wrong with it."""
    path, size, sha256 = file
    if job["revision"] is None:
        local = Path(job["path"], path)
    else:
        local = Path(client.hf_hub_download(job["path"], path, repo_type="dataset", revision=job["revision"]))
    with local.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != sha256 or stream.tell() != size:
            return f"{path} has other bytes than listed"
    return int(pq.ParquetFile(local).metadata.num_rows)


def _miscounted(name: str, loaded: Any, counts: dict[str, int]) -> Iterator[str]:
    """Compare with the counts of the manifest."""
    found = {}
    if name == "models":
        found["models"] = len(loaded)
    if name == "index":
        table = loaded.with_format("arrow").select_columns(["file", "n_kernels"])[:]
        stored = table.filter(table["file"].is_valid())
        found["layers"] = stored.num_rows
        found["kernels"] = sum(stored["n_kernels"].to_pylist())
    for what, number in found.items():
        if number != counts[what]:
            yield f"{name} has {number} {what}, the manifest says {counts[what]}"


if __name__ == "__main__":
    main()
