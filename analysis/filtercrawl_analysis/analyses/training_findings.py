"""The sentences of the analysis `training`, each with the rows that it is derived from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from filtercrawl.api.analysis import Estimate, Finding
from filtercrawl.api.formatting import format_plural, verb

Row = dict[str, Any]

TABLE: Final = "training_steps"
# Runs that get sentences of their own.
MAX_RUNS: Final = 4


def training_findings(rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield, for each run, how far and how soon its kernels drift, and what becomes of their entropy.

    Args:
        rows: The table `training_steps`.
    """
    runs: dict[str, list[int]] = {}
    for position, row in enumerate(rows):
        runs.setdefault(row["run_id"], []).append(position)
    named = sorted(runs.items(), key=lambda item: (-len(item[1]), item[0]))[:MAX_RUNS]
    for run_id, positions in named:
        yield from _of_run(run_id, rows, positions)
    if len(runs) > MAX_RUNS:
        more = len(runs) - MAX_RUNS
        yield Finding(text=f"{format_plural(more, 'more training run')} {verb(more, 'is', 'are')} in the tables alone.")


def _of_run(run_id: str, rows: Sequence[Row], positions: Sequence[int]) -> Iterator[Finding]:
    first, last = rows[positions[0]], rows[positions[-1]]
    drift, floor = last["drift_from_first"], last["floor"]
    span = f"Run {run_id}, {len(positions)} steps from {first['step']:,} to {last['step']:,}"
    if drift is not None and drift <= floor:
        text = f"{span}: the kernels drift by {drift:.3g}, not more than two draws of one distribution ({floor:.3g})."
        yield Finding(text=text, table=TABLE, row=positions[-1])
    elif drift is not None:
        half, most = (_reaches(rows, positions, share * drift) for share in (0.5, 0.9))
        yield Finding(
            text=f"{span}: the kernels drift by {drift:.3g} (mean over layers; two draws of one distribution: "
            f"{floor:.3g}). Half of it is reached at step {rows[half]['step']:,}, nine tenths at step "
            f"{rows[most]['step']:,}.",
            table=TABLE,
            row=positions[-1],
            other_rows=(half, most),
            estimate=Estimate(
                label=f"drift of the kernels of run {run_id} from step {first['step']:,} to {last['step']:,}",
                value=drift,
                note=f"mean over layers; two draws of one distribution would give {floor:.3g}",
            ),
            columns=("run_id", "step"),
        )
    before, after = first["variance_entropy_norm"], last["variance_entropy_norm"]
    if before is not None and after is not None:
        verb = "falls" if after < before else "rises" if after > before else "stays the same"
        dead = ""
        if first["sparsity"] is not None and last["sparsity"] is not None:
            dead = f"; the share of dead kernels goes from {first['sparsity']:.1%} to {last['sparsity']:.1%}"
        yield Finding(
            text=f"Run {run_id}: the variance entropy {verb} from {before:.3f} to {after:.3f} (of 1, median over "
            f"layers){dead}.",
            table=TABLE,
            row=positions[0],
            other_rows=(positions[-1],),
        )


def _reaches(rows: Sequence[Row], positions: Sequence[int], drift: float) -> int:
    """Return the position of the first step that has drifted so far."""
    return next(position for position in positions if (rows[position]["drift_from_first"] or 0) >= drift)
