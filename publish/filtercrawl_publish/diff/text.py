"""A difference in words, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from filtercrawl_publish.diff.compare import Difference
from filtercrawl_publish.diff.snapshot import Row

# Ids of a list that are told; the machine-readable file has them all.
_MAX_LISTED: Final = 10
Safe = Callable[[str], str]


def format_difference(found: Difference, safe: Safe) -> Iterator[str]:
    """Yield what is different, a line a thing, as items of a Markdown list; nothing for nothing.

    safe: makes text from outside harmless where the lines go.
    """
    for title, rows, detail in (
        ("new", found.new, _counted),
        ("changed", found.changed, _churn_text),
        ("gone", found.gone, lambda row: row["reason"]),
        ("withdrawn", found.withdrawn, lambda row: row["reason"]),
        ("renamed", found.renamed, lambda row: f"{row['old_name']} is now {row['new_name']}"),
        ("merged as duplicates", found.merged, lambda row: f"of {row['duplicate_of']}"),
        ("promoted", found.promoted, lambda row: f"was a duplicate of {row['was_duplicate_of']}"),
        ("failed", found.failed, lambda row: row["reason"]),
        ("under another licence", found.licenses, lambda row: f"{_word(row['from'])}, now {_word(row['to'])}"),
    ):
        yield from _listed(title, rows, detail, safe)
    if found.stated:
        told = ", ".join(f"{column} of {row['changed']:,}" for column, row in found.stated.items())
        yield f"- metadata changed: {told}"
    for size, turn in found.kernels.items():
        came, went = (
            f"{kernels:,} kernels in {layers:,} layers"
            for kernels, layers in (
                (turn.kernels_added, turn.layers_added),
                (turn.kernels_removed, turn.layers_removed),
            )
        )
        parts = [f"{came} added" if turn.layers_added else "", f"{went} removed" if turn.layers_removed else ""]
        yield f"- {safe(size)}: " + ", ".join(part for part in parts if part)
    for table, columns in found.columns.items():
        for verb in ("added", "removed"):
            if columns[verb]:
                yield f"- columns {verb} in `{table}`: " + ", ".join(safe(name) for name in columns[verb])
    yield from _statistics_lines(found)


def heading(found: Difference) -> str:
    """Say how much there is now."""
    after, before = found.after, found.before
    grown = [f"{after[name]:,} {name} ({after[name] - before[name]:+,})" for name in ("models", "layers", "kernels")]
    return ", ".join(grown)


def _listed(title: str, rows: Sequence[Row], detail: Callable[[Row], Any], safe: Safe) -> Iterator[str]:
    if not rows:
        return
    yield f"- {len(rows):,} {title}"
    for row in rows[:_MAX_LISTED]:
        about = detail(row)
        yield f"  - {safe(row['model_id'])}" + (f": {safe(str(about))}" if about else "")
    if len(rows) > _MAX_LISTED:
        yield f"  - and {len(rows) - _MAX_LISTED:,} more"


def _counted(row: Row) -> str:
    if row["duplicate_of"] is not None:
        return f"a duplicate of {row['duplicate_of']}"
    return f"{row['n_kernels'] or 0:,} kernels in {row['n_layers'] or 0:,} layers, licence {_word(row['license'])}"


def _churn_text(row: Row) -> str:
    told: Iterable[str] = (
        f"{row[f'layers_{verb}']:,} layers {verb}" for verb in ("added", "removed") if row[f"layers_{verb}"]
    )
    return ", ".join(told) or "another file with the same layers"


def _statistics_lines(found: Difference) -> Iterator[str]:
    move = found.movement
    if move is None:
        return
    if move.drift is not None:
        yield f"- trained 3x3 kernels drifted by {move.drift:.3g} (D, from {move.kernels[0]:,} to {move.kernels[1]:,})"
    if move.before is not None and move.after is not None and move.max_share_change:
        place = max(range(9), key=lambda i: abs(move.after[i] - move.before[i]))  # type: ignore[index]
        was, now = (100 * side[place] for side in (move.before, move.after))
        yield f"- explained variance moved most at component {place + 1}: {was:.2f} % to {now:.2f} %"


def _word(license_id: str | None) -> str:
    return license_id or "unknown"
