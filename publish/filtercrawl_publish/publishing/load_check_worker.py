"""Worker process of the load check: `python -m`, with a `LoadCheckJob` as JSON on stdin."""

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

import pyarrow.parquet as pq
import yaml

# `datasets` parses the card for every config that it loads, which takes most of the time. The parser of libyaml builds
# the same objects six times as fast. `datasets` subclasses the loader when it is imported, so it comes after.
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # type: ignore[misc]
import datasets  # noqa: E402

from filtercrawl.config import resolve  # noqa: E402
from filtercrawl.transport import hub, network  # noqa: E402


def main() -> None:
    """Print the list of problems as one line of JSON."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    answer, sys.stdout = sys.stdout, sys.stderr  # keeps what libraries print out of the answer
    datasets.disable_progress_bars()
    datasets.config.USE_PARQUET_EXPORT = False  # load the published files, not a conversion by the Hub
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    client = hub.api(network(resolve({}).network))
    print(json.dumps(list(_problems(job, client))), file=answer, flush=True)


def _exit_with_parent() -> None:
    """Wait until stdin closes, which happens when the parent is killed."""
    sys.stdin.read()
    os._exit(0)


def _problems(job: dict[str, Any], client: Any) -> Iterator[str]:
    for part in job["parts"]:
        arguments = {"path": job["path"], "name": part["name"], "split": part["split"], "revision": job["revision"]}
        streamed = datasets.load_dataset(**arguments, streaming=True)
        if not part["whole"]:
            if not list(islice(streamed, 1)):
                yield f"{part['name']} has no rows"
            results = [_check_file(job, file, client) for file in part["files"]]
            yield from (result for result in results if isinstance(result, str))
            continue
        loaded = datasets.load_dataset(**arguments)
        if streamed.features != loaded.features:
            yield f"{part['name']} has different features when streamed"
        rows = 0
        for file in part["files"]:
            result = _check_file(job, file, client)
            if isinstance(result, str):
                yield result
            else:
                rows += result
        n_streamed = sum(len(batch) for batch in streamed.with_format("arrow").iter(1000))
        if not rows == len(loaded) == n_streamed:
            yield f"{part['name']} has {rows} rows in its files, {len(loaded)} loaded, {n_streamed} streamed"
        yield from _check_counts(part["name"], loaded, job["counts"])


def _check_file(job: dict[str, Any], file: tuple[str, int, str], client: Any) -> int | str:
    """Return the number of rows of a file, or what is wrong with it."""
    path, size, sha256 = file
    if job["revision"] is None:
        local = Path(job["path"], path)
    else:
        local = Path(client.hf_hub_download(job["path"], path, repo_type="dataset", revision=job["revision"]))
    with local.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != sha256 or stream.tell() != size:
            return f"{path} differs from its listed size or SHA-256"
    return int(pq.ParquetFile(local).metadata.num_rows)


def _check_counts(name: str, loaded: Any, counts: dict[str, int]) -> Iterator[str]:
    """Compare the rows of `models` and `index` with the counts of the manifest."""
    loaded_counts = {}
    if name == "models":
        loaded_counts["models"] = len(loaded)
    if name == "index":
        table = loaded.with_format("arrow").select_columns(["row_group", "n_kernels"])[:]
        stored = table.filter(table["row_group"].is_valid())
        loaded_counts["layers"] = stored.num_rows
        loaded_counts["kernels"] = sum(stored["n_kernels"].to_pylist())
    for what, number in loaded_counts.items():
        if number != counts[what]:
            yield f"{name} has {number} {what}, the manifest states {counts[what]}"


if __name__ == "__main__":
    main()
