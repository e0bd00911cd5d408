"""Worker process of the load check: `python -m`, with a `LoadCheckJob` as JSON on stdin."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
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
    print(json.dumps(list(_problems(job))), file=answer, flush=True)


def _exit_with_parent() -> None:
    """Wait until stdin closes, which happens when the parent is killed."""
    sys.stdin.read()
    os._exit(0)


def _problems(job: dict[str, Any]) -> Iterator[str]:
    for config in job["configs"]:
        arguments = {"path": job["folder"], "name": config["name"], "split": config["split"]}
        streamed = datasets.load_dataset(**arguments, streaming=True)
        loaded = datasets.load_dataset(**arguments)
        yield from _compare(config["name"], streamed, loaded)
        rows = sum(pq.read_metadata(Path(job["folder"], file["path"])).num_rows for file in config["files"])
        if rows != len(loaded):
            yield f"{config['name']} has {rows} rows in its files, {len(loaded)} loaded"
        if config["whole"]:
            yield from _check_counts(config["name"], loaded, job["counts"])
    if job["repository"] is not None and job["configs"]:
        yield from _from_repository(job["repository"], job["configs"][0])


def _from_repository(repository: list[str], config: dict[str, Any]) -> Iterator[str]:
    """Load the default config, which the card has first, as a reader would: by the name of the repository."""
    hub.api(network(resolve({}).network))
    path, revision = repository
    arguments = {"path": path, "name": config["name"], "split": config["split"], "revision": revision}
    yield from _compare(
        config["name"], datasets.load_dataset(**arguments, streaming=True), datasets.load_dataset(**arguments)
    )


def _compare(name: str, streamed: Any, loaded: Any) -> Iterator[str]:
    if streamed.features != loaded.features:
        yield f"{name} has different features when streamed"
    n_streamed = sum(len(batch) for batch in streamed.with_format("arrow").iter(1000))
    if len(loaded) != n_streamed:
        yield f"{name} has {len(loaded)} rows loaded, {n_streamed} streamed"


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
