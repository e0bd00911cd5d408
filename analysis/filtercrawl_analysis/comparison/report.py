"""What `compare` returns: two checkpoints layer by layer, and what follows for their relation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control, format_plural
from filtercrawl.display import html_table
from filtercrawl_analysis.report.csv import csv_text
from filtercrawl_analysis.statistics.lineage.relation import Judgement

if TYPE_CHECKING:
    import pandas as pd

LAYERS: Final = pa.schema(
    [
        ("layer_a", pa.string()),
        ("layer_b", pa.string()),
        ("matched_by", pa.string()),
        ("shape", pa.list_(pa.int64())),
        ("dtype_a", pa.string()),
        ("dtype_b", pa.string()),
        ("frozen", pa.bool_()),
        ("nonfinite_a", pa.int64()),
        ("nonfinite_b", pa.int64()),
        ("cosine", pa.float64()),
        ("relative_change", pa.float64()),
        ("correlation", pa.float64()),
        ("z", pa.float64()),
        ("matched_change", pa.float64()),
        ("moved_filters", pa.int64()),
        ("inputs", pa.string()),
        ("drift", pa.float64()),
    ]
)
_MAX_NAME: Final = 48
# Names of layers of only one checkpoint that are shown; all are in `to_dict`.
_MAX_ONLY: Final = 4
_EDITED: Final = "one is the other with some weights changed"
_SENTENCES: Final = {
    "same": "the same weights",
    "scaled": "the same weights up to a factor of each layer",
    "negated": "the same weights up to sign",
    "quantized": "one is a quantized copy of the other",
    "pruned": "one was pruned from the other",
    "permuted": "the same weights in another order",
    "finetune": "one was trained on from the other",
    "partial": "some layers are shared, the others are unrelated",
    "sibling": "related, and neither descends from the other: a common ancestor or initialization",
    "none": "no relation found",
}


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """Two checkpoints compared.

    Attributes:
        a: The first checkpoint.
        b: The second one.
        layers: A row for each pair of corresponding layers, in the order of a; the columns are those of `LAYERS`.
        only_a: Names and shapes of layers that have no counterpart in b.
        only_b: The same of b.
        judgement: The relation, and what shows it.
    """

    a: str
    b: str
    layers: pa.Table
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    judgement: Judgement

    @property
    def verdict(self) -> str:
        """The relation as one line, with its evidence."""
        judged = self.judgement
        parent = {"a": self.a, "b": self.b, None: None}[judged.parent]
        origin = "" if parent is None else f", from {parent}"
        sentence = _EDITED if judged.relation == "finetune" and parent is None else _SENTENCES[judged.relation]
        # Evidence of many standard deviations is still no certainty.
        shown = "" if judged.probability is None else f"; probability {min(judged.probability, 0.99):.2f}"
        return f"{sentence}{origin} ({judged.evidence}{shown})"

    def to_pandas(self) -> pd.DataFrame:
        """Return the pairs of layers as a pandas data frame."""
        frame: pd.DataFrame = self.layers.to_pandas()
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return the output of `filtercrawl compare --json`."""
        return {
            "a": self.a,
            "b": self.b,
            "verdict": self.verdict,
            "relation": self.judgement.relation,
            "parent": self.judgement.parent,
            "probability": self.judgement.probability,
            "evidence": self.judgement.evidence,
            "layers": self.layers.to_pylist(),
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
        }

    def write(self, path: Path) -> None:
        """Write the pairs of layers as CSV.

        Raises:
            UsageError: The path does not end in .csv, or cannot be written.
        """
        if path.suffix.lower() != ".csv":
            raise UsageError(f"{path}: give a name that ends in .csv")
        shapes = pa.array(["x".join(map(str, shape)) for shape in self.layers["shape"].to_pylist()], pa.string())
        table = self.layers.set_column(self.layers.schema.get_field_index("shape"), "shape", shapes)
        try:
            path.write_text(csv_text(table), encoding="utf-8", newline="")
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from error

    def __str__(self) -> str:
        rows = self.layers.to_pylist()
        lines = [f"{escape_control(self.a)} and {escape_control(self.b)}: {format_plural(len(rows), 'common layer')}"]
        width = min(max((len(row["layer_a"]) for row in rows), default=0), _MAX_NAME)
        if rows:
            lines.append(
                f"  {'layer':<{width}}  {'shape':<16} {'cosine':>7} {'change':>7} {'matched':>7} {'moved':>6} "
                f"{'drift':>8}"
            )
        for row in rows:
            name = escape_control(row["layer_a"])
            name = name if len(name) <= width else f"...{name[3 - width :]}"
            shape = "x".join(map(str, row["shape"]))
            numbers = "frozen" if row["frozen"] else _numbers(row) + _nonfinite(row)
            other = (
                "" if row["matched_by"] == "name" else f"  with {escape_control(row['layer_b'])}, by shape and order"
            )
            lines.append(f"  {name:<{width}}  {shape:<16} {numbers}{other}")
        for side, names in ((self.a, self.only_a), (self.b, self.only_b)):
            if names:
                lines.append(f"only in {escape_control(side)}: {escape_control(_first(names))}")
        return "\n".join([*lines, escape_control(self.verdict)])

    def _repr_html_(self) -> str:
        """Show the verdict and the layers in a notebook; text from files is escaped."""
        rows = self.layers.to_pylist()
        layers = {row["layer_a"]: "frozen" if row["frozen"] else _sentence(row) for row in rows}
        only = {f"only in {side}": _first(names) for side, names in ((self.a, self.only_a), (self.b, self.only_b))}
        head = {"verdict": self.verdict, **{name: names for name, names in only.items() if names}}
        return html_table(f"{self.a} and {self.b}", head) + html_table("layers", layers)


def _numbers(row: dict[str, Any]) -> str:
    cosine, change, matched = (_fixed(row[name], 7, 4) for name in ("cosine", "relative_change", "matched_change"))
    moved = "-" if row["moved_filters"] is None else f"{row['moved_filters']:,}"
    return f"{cosine} {change} {matched} {moved:>6} {_fixed(row['drift'], 8, 4)}"


def _nonfinite(row: dict[str, Any]) -> str:
    counts = [f"{row[f'nonfinite_{side}']:,} not finite in {side}" for side in ("a", "b") if row[f"nonfinite_{side}"]]
    return f"  differs ({', '.join(counts)})" if counts else ""


def _first(names: tuple[str, ...]) -> str:
    more = len(names) - _MAX_ONLY
    return ", ".join(names[:_MAX_ONLY]) + (f" and {more:,} more (all with --json)" if more > 0 else "")


def _sentence(row: dict[str, Any]) -> str:
    names = (("cosine", "cosine"), ("relative_change", "change"), ("matched_change", "matched"), ("drift", "drift"))
    text = ", ".join(f"{title} {row[name]:.4f}" for name, title in names if row[name] is not None)
    return text + _nonfinite(row)


def _fixed(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"
