"""The card's body for people: how much there is, of what, and how to load it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from filtercrawl.config.spdx import REDISTRIBUTABLE as LICENSES
from filtercrawl.dataset.card.citation import bibtex
from filtercrawl.dataset.card.configs import REDISTRIBUTABLE, Config
from filtercrawl.dataset.card.counts import DatasetCounts
from filtercrawl.dataset.card.figures import REPORT, CardFigure, KernelPicture
from filtercrawl.dataset.card.release import Release
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.subset_folders import CONFIG_PREFIX
from filtercrawl.dataset.schema.layer_row import IndexRow, LayerRow
from filtercrawl.dataset.schema.model_row import ModelRow

if TYPE_CHECKING:
    from jinja2 import Environment

# Lines of a table of counts; the rest is summed up in one.
_MAX_LINES: Final = 15
# Lines of a table that is not folded.
_SHORT_TABLE: Final = 5
# Columns of tables that are aligned to the right.
_NUMBERS: Final = frozenset({"rows", "MB", "kernels", "checkpoints"})
_NAME_LENGTH: Final = 80
_ABOUT_LENGTH: Final = 400
# Megabytes below which the size of a config is not written out.
_SMALLEST: Final = 0.01
_CAPTION_LENGTH: Final = 400

Line = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CardContext:
    """What the card describes.

    Attributes:
        dataset_id: The id of the dataset.
        configs: Its configs, the default one first.
        counts: Its layers and kernels.
        figures: Figures of analyses.
        picture: The picture of kernels; None where no kernel can be shown.
        release: The published version that the dataset is; None where it is none.
        others: Published files besides those of configs, by path.
    """

    dataset_id: str
    configs: Sequence[Config]
    counts: DatasetCounts
    figures: Sequence[CardFigure] = ()
    picture: KernelPicture | None = None
    release: Release | None = None
    others: frozenset[str] = frozenset()


def render_body(context: CardContext) -> str:
    """Return the card's Markdown."""
    counts = context.counts
    kernels: tuple[tuple[str, Counter[str] | Counter[str | None]], ...] = (
        ("source", counts.by_source),
        ("kernel size", counts.by_kernel),
        ("task", counts.by_task),
    )
    text = _environment().get_template("body.md.j2").render(
        counts=counts,
        holding=_holding(counts),
        citation=bibtex(escape(context.dataset_id), context.release),
        croissant=manifest.CROISSANT,
        release=context.release,
        picture=context.picture.layers if context.picture else (),
        picture_path=manifest.PICTURE,
        picture_kernels=context.picture.kernels if context.picture else 0,
        # `datasets` does not load ".".
        location=f'"{context.release.hub_id}"' if context.release and context.release.hub_id else "os.getcwd()",
        files=_files_location(context.release),
        short=_SHORT_TABLE,
        numbers=_NUMBERS,
        outcomes=[(escape(outcome), f"{count:,}") for outcome, count in sorted(counts.outcomes.items())],
        kernel_counts=[(title, _kernel_counts(by)) for title, by in kernels if by.keys() - {None}],
        license_counts=_kernel_counts(counts.by_license),
        configs=[_config_line(config) for config in context.configs],
        names={config.name for config in context.configs},
        columns=list(_columns()),
        figures=context.figures,
        caption_length=_CAPTION_LENGTH,
        others=context.others,
        changelog=manifest.CHANGELOG,
        report=REPORT,
        licenses=LICENSES,
        redistributable=REDISTRIBUTABLE,
    )  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def summary(counts: DatasetCounts) -> str:
    """Return one sentence on what the dataset holds, as plain text."""
    return f"{_plural(counts.kernels, 'convolution kernel')} {_holding(counts)}"


def _holding(counts: DatasetCounts) -> str:
    return (
        f"in {_plural(counts.layers, 'layer')} of {_plural(counts.checkpoints, 'checkpoint')}, bit for bit as "
        f"{'these store' if counts.checkpoints != 1 else 'it stores'} them"
        + (f", with what is known of each layer: {_join(counts.known_facts)}." if counts.facts else ".")
    )


def _files_location(release: Release | None) -> str:
    """Return where pandas and DuckDB find the files: the folder of the card, or a version on the Hub."""
    return f"hf://datasets/{release.hub_id}@{release.version}" if release and release.hub_id else "."


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _join(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def escape(text: str, length: int = _NAME_LENGTH) -> str:
    """Make text from outside safe inside Markdown and HTML: one short line in which nothing is markup."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > length:
        line = line[: length - 1] + "…"
    return "".join(c if c.isalnum() or ord(c) > 127 or c in " .,-" else f"&#{ord(c)};" for c in line)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # a run without changes renders no card

    environment = Environment(
        loader=PackageLoader("filtercrawl.dataset.card"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown: `escape` is stricter, and what is ours holds markup
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["escape"] = escape
    environment.filters["number"] = "{:,}".format
    return environment


def _columns() -> Iterator[tuple[str, list[Line]]]:
    """Yield the title and the lines of each table whose columns are described."""
    beside = [name for name in IndexRow.DESCRIPTIONS if name not in LayerRow.DESCRIPTIONS]
    for title, row, names in (
        ("layers", LayerRow, list(LayerRow.DESCRIPTIONS)),
        ("index (beside those of layers)", IndexRow, beside),
        ("models", ModelRow, list(ModelRow.DESCRIPTIONS)),
    ):
        yield title, [(f"`{name}`", _type(row.SCHEMA.field(name).type), row.DESCRIPTIONS[name]) for name in names]


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_type(kind.value_type)}"
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind).partition("[")[0])


def _config_line(config: Config) -> Line:
    megabytes = config.files.size / 1e6
    size = f"{megabytes:,.2f}" if megabytes >= _SMALLEST else f"< {_SMALLEST}"
    # What a subset is for, whoever made it says.
    is_subset = config.name.startswith(CONFIG_PREFIX)
    return (
        f"`{config.name}`",
        escape(config.about, _ABOUT_LENGTH) if is_subset else config.about,
        "" if config.rows is None else f"{config.rows:,}",
        "" if config.rows is None else size,
    )


def _kernel_counts(kernels: Counter[str] | Counter[str | None]) -> Sequence[Line]:
    ranked = sorted(kernels.items(), key=lambda item: (-item[1], item[0] or ""))
    lines = [("unknown" if name is None else escape(name), f"{n:,}") for name, n in ranked[:_MAX_LINES]]
    if rest := ranked[_MAX_LINES:]:
        lines.append((f"{len(rest):,} others", f"{sum(n for _, n in rest):,}"))
    return lines
