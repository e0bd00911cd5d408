"""Counts of the last run for Prometheus: a file for the textfile collector of its node exporter.

The format is the text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.schema.run_row import RUN_STAGES, RunRow
from filtercrawl.pipeline.report import WORDS

_OUTCOMES: Final = ("finished", "stopped", "failed")
# Metrics of one value, by the column of `runs`.
_VALUES: Final = (
    "left", "new_failures", "incomplete_listings", "layers", "kernels", "bytes_fetched", "bytes_offered", "requests",
    "retries",
)  # fmt: skip


def metrics_text(row: RunRow, dataset_id: str) -> str:
    """Return the metrics of a run: gauges, since each run writes its own counts and none adds to the last one's.

    Args:
        row: The run.
        dataset_id: Label of all metrics, so that several datasets of one machine have a file each.
    """
    about = row.DESCRIPTIONS
    lines: list[str] = []

    def gauge(name: str, text: str, values: Mapping[tuple[str, str] | None, float]) -> None:
        metric = f"filtercrawl_run_{name}"
        lines.extend([f"# HELP {metric} {_escape(text)}", f"# TYPE {metric} gauge"])
        for label, value in values.items():
            labels = [("dataset", dataset_id), *([label] if label else [])]
            shown = ",".join(f'{key}="{_escape(word, quoted=True)}"' for key, word in labels)
            lines.append(f"{metric}{{{shown}}} {value:.15g}")

    gauge("start_time_seconds", about["started"], {None: row.started.timestamp()})
    gauge("outcome", "1 for how the run ended", {("outcome", word): word == row.outcome for word in _OUTCOMES})
    counts: dict[tuple[str, str] | None, float] = {("outcome", word): getattr(row, word) for word in WORDS}
    gauge("checkpoints", "checkpoints by what was done with them", counts)
    seconds: dict[tuple[str, str] | None, float] = {
        ("stage", stage): getattr(row, f"seconds_{stage}") or 0.0 for stage in RUN_STAGES
    }
    gauge("stage_seconds", "seconds by stage, which add up to the duration", seconds)
    gauge("duration_seconds", about["seconds"].partition(",")[0], {None: row.seconds})
    for name in _VALUES:
        gauge(name, about[name], {None: getattr(row, name)})
    return "".join(f"{line}\n" for line in lines)


def write_metrics(path: Path, text: str) -> None:
    """Write the file beside itself and move it: the collector reads it at any moment, and only names in `.prom`.

    Raises:
        DatasetError: It cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        scratch = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            scratch.chmod(0o644)  # the collector is another user
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be written ({error.strerror or error}); name a file in a folder that can"
        ) from error


def _escape(text: str, *, quoted: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quoted else escaped
