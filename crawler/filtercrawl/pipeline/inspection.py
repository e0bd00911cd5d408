"""What `inspect` says about one checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from filtercrawl.api.checkpoint import Checkpoint, is_local
from filtercrawl.api.formatting import escape_control, format_count, format_plural, shorten
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.config import NetworkSettings
from filtercrawl.display import html_table

# Width of the column of names, and characters of a cell, which a file may want to be longer.
_NAME_WIDTH: Final = 70
_MAX_CELL: Final = 120


@dataclass(frozen=True, kw_only=True)
class InspectionRequest:
    """What is to be inspected.

    Attributes:
        checkpoint: The checkpoint.
        source: Name of its source.
        kernel_size: Which kernels would be kept.
        network: How to reach servers.
        reading_seconds: CPU seconds after which the process that reads a small file ends; None for no limit.
    """

    checkpoint: Checkpoint
    source: str
    kernel_size: KernelPolicy
    network: NetworkSettings
    reading_seconds: float | None

    @property
    def is_local(self) -> bool:
        """Whether reading it needs no server."""
        return all(map(is_local, self.checkpoint.files))


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The tensors of one checkpoint and what a sync would do with them.

    Attributes:
        name: Name of the checkpoint.
        format: Name of the reader.
        tensors: For each tensor its name, shape, dtype, outcome, reason, rule and notes; those of convolutions also
            have the columns of `index`, such as `op` and `kernel`. `rule` is the short name of the rule that decided.
            `effective_steps` says what the network does to a weight before it convolves with it, None for nothing that
            is known; `merged_into` is the tensor whose kernel a branch is added to.
        code: Functions that loading the file elsewhere would run.
    """

    name: str
    format: str
    tensors: tuple[dict[str, Any], ...]
    code: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the output of `filtercrawl inspect --json`."""
        return {"name": self.name, "format": self.format, "code": list(self.code), "tensors": list(self.tensors)}

    def __str__(self) -> str:
        lines = [f"{escape_control(self.name)}: {self.format}, {format_plural(len(self.tensors), 'tensor')}"]
        width = min(max((len(row["tensor"]) for row in self.tensors), default=0), _NAME_WIDTH)
        if self.tensors:
            lines.append(f"  {'tensor':<{width}}  {'shape':<18} {'dtype':<9} {'rule':<19} outcome")
        for row in self.tensors:
            shape = shorten("x".join(map(str, row["shape"])) or "scalar", _MAX_CELL)
            notes = f" ({shorten(', '.join(row['notes']), _MAX_CELL)})" if row["notes"] else ""
            name = shorten(row["tensor"], _MAX_CELL)
            verdict = f"{row['rule'] or '-':<19} {_verdict(row)}{notes}"
            lines.append(escape_control(f"  {name:<{width}}  {shape:<18} {shorten(row['dtype'], 16):<9} {verdict}"))
        if self.code:
            lines.append(f"names {', '.join(self.code)}; not run")
        totals = Counter(row["reason"] or "emitted" for row in self.tensors)
        if totals:
            lines.append(", ".join(f"{count:,} {word}" for word, count in totals.most_common()))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        totals = Counter(row["reason"] or "emitted" for row in self.tensors)
        counts = {word: format_count(count) for word, count in totals.most_common()}
        emitted = {row["tensor"]: _verdict(row) for row in self.tensors if row["outcome"] == "emitted"}
        return html_table(f"{self.name}: {self.format}", counts) + html_table("emitted", emitted)


def _verdict(row: Mapping[str, Any]) -> str:
    """Say in a few words what becomes of a tensor."""
    verdict = f"emitted as {row['op']} {row['kernel']}" if row["outcome"] == "emitted" else f"skipped: {row['reason']}"
    if row["effective_steps"]:
        verdict += f"; effective: {', '.join(row['effective_steps'])}"
    branch = row["merged_into"]
    return verdict if branch is None else f"{verdict}; a branch of {shorten(branch, _MAX_CELL)}"
