"""What the card tells a person: how much there is, of what, and how to load it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from filtercrawl.config.spdx import REDISTRIBUTABLE as LICENSES
from filtercrawl.dataset.card import guide
from filtercrawl.dataset.card.configs import REDISTRIBUTABLE, Config
from filtercrawl.dataset.card.counts import DatasetCounts
from filtercrawl.dataset.card.figures import REPORT, CardFigure
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.schema.column import TableRow
from filtercrawl.dataset.schema.layer_row import IndexRow, LayerRow
from filtercrawl.dataset.schema.model_row import ModelRow

# Lines of a table of counts; what is rarer is summed up in one.
_SHOWN: Final = 15
_NAME_LENGTH: Final = 80
_CAPTION_LENGTH: Final = 400


@dataclass(frozen=True, kw_only=True)
class CardContext:
    """What the card tells of. figures: of analyses; others: published files besides those of configs, by path."""

    dataset_id: str
    configs: Sequence[Config]
    tally: DatasetCounts
    figures: Sequence[CardFigure] = ()
    others: frozenset[str] = frozenset()


def render_body(about: CardContext) -> str:
    """Return the card's Markdown."""
    tally, names = about.tally, {config.name for config in about.configs}
    seen = ", ".join(f"{count:,} {escape(outcome)}" for outcome, count in sorted(tally.outcomes.items()))
    parts = [
        f"# Trained convolution kernels\n\n{tally.kernels:,} convolution kernels in {tally.layers:,} layers, "
        f"taken bit for bit from trained checkpoints by filtercrawl. Checkpoints: {seen or 'none'}.",
        _links(about.others),
        _counts("source", tally.by_source),
        _counts("kernel", tally.by_kernel),
        _counts("task", tally.by_task),
        _counts("licence", tally.by_license),
        _figures(about.figures),
        "## Configs\n\n" + _table(("config", "rows", "files", "MB", "what"), map(_config_line, about.configs)),
        guide.LOADING if {"layers", "index"} <= names else "",
        _schema() if "index" in names else "",
        guide.LICENSES.format(licenses=", ".join(LICENSES), config=_redistributable(tally, names)),
        guide.CITATION.format(dataset_id=escape(about.dataset_id)),
        guide.LIMITS,
    ]
    return "\n\n".join(part for part in parts if part)


def escape(text: str, length: int = _NAME_LENGTH) -> str:
    """Make foreign text safe inside Markdown and HTML: one short line in which nothing is markup."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > length:
        line = line[: length - 1] + "…"
    return "".join(c if c.isalnum() or ord(c) > 127 or c in " .,-" else f"&#{ord(c)};" for c in line)


def _links(others: frozenset[str]) -> str:
    known = {
        manifest.CHANGELOG: f"What changed from version to version: [{manifest.CHANGELOG}]({manifest.CHANGELOG}).",
        REPORT: f"Analyses with all their figures and tables: [{REPORT}]({REPORT}).",
    }
    return " ".join(line for path, line in known.items() if path in others)


def _figures(figures: Sequence[CardFigure]) -> str:
    shown = [
        f"![{escape(figure.title)}]({figure.path})\n\n*{escape(figure.caption, _CAPTION_LENGTH)}*" for figure in figures
    ]
    return "\n\n".join(["## Figures", *shown]) if shown else ""


def _redistributable(tally: DatasetCounts, names: set[str]) -> str:
    if REDISTRIBUTABLE in names:
        return f"The config `{REDISTRIBUTABLE}` is `layers` of these checkpoints alone."
    if tally.redistributable_rows:
        return f"They are {len(tally.redistributable_rows):,} files, too many to list here: choose by `index`."
    return "This dataset holds none such."


def _schema() -> str:
    """Describe the main tables, folded away."""
    tables: Mapping[str, tuple[type[TableRow], tuple[str, ...]]] = {
        "layers": (LayerRow, tuple(LayerRow.DESCRIPTIONS)),
        "index (beside those of layers)": (
            IndexRow,
            tuple(name for name in IndexRow.DESCRIPTIONS if name not in LayerRow.DESCRIPTIONS),
        ),
        "models": (ModelRow, tuple(ModelRow.DESCRIPTIONS)),
    }
    parts = ["## Columns\n\nAll types are stated in the header of this card; null means unknown."]
    for title, (row, names) in tables.items():
        lines = [(f"`{name}`", _type(row.SCHEMA.field(name).type), row.DESCRIPTIONS[name]) for name in names]
        told = _table(("column", "type", "what"), lines)
        parts.append(f"<details>\n<summary>{title}</summary>\n\n{told}\n\n</details>")
    return "\n\n".join(parts)


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_type(kind.value_type)}"
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind).partition("[")[0])


def _config_line(config: Config) -> tuple[str, ...]:
    megabytes = sum(file.size for file in config.files) / 1e6
    return f"`{config.name}`", f"{config.rows:,}", f"{len(config.files):,}", f"{megabytes:,.2f}", config.about


def _counts(title: str, kernels: Counter[str] | Counter[str | None]) -> str:
    ranked = sorted(kernels.items(), key=lambda item: (-item[1], item[0] or ""))
    lines = [("unknown" if name is None else escape(name), f"{n:,}") for name, n in ranked[:_SHOWN]]
    if rest := ranked[_SHOWN:]:
        lines.append((f"{len(rest):,} others", f"{sum(n for _, n in rest):,}"))
    return _table((title, "kernels"), lines) if lines else ""


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines))
