"""The sentences of the analysis `training`, each with the rows that it is derived from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, Final

from filtercrawl.api.analysis import Estimate, Finding
from filtercrawl.api.formatting import format_plural, verb

Row = dict[str, Any]

TABLE: Final = "training_steps"
# Runs that get sentences of their own.
MAX_RUNS: Final = 4


def training_findings(rows: Sequence[Row], layers: Sequence[Row]) -> Iterator[Finding]:
    """Yield, for each run, how far and how soon its kernels drift, and what becomes of their entropy.

    Args:
        rows: The table `training_steps`.
        layers: The table `training_layers`.
    """
    runs: dict[str, list[int]] = {}
    for position, row in enumerate(rows):
        runs.setdefault(row["run_id"], []).append(position)
    named = sorted(runs.items(), key=lambda item: (-len(item[1]), item[0]))[:MAX_RUNS]
    for run_id, positions in named:
        yield from _of_run(run_id, rows, positions, [row for row in layers if row["run_id"] == run_id])
    if len(runs) > MAX_RUNS:
        more = len(runs) - MAX_RUNS
        yield Finding(text=f"{format_plural(more, 'more training run')} {verb(more, 'is', 'are')} in the tables alone.")


def _of_run(run_id: str, rows: Sequence[Row], positions: Sequence[int], layers: Sequence[Row]) -> Iterator[Finding]:
    first, last = rows[positions[0]], rows[positions[-1]]
    drift, floor = last["drift_from_first"], last["floor"]
    span = f"Run {run_id}, {len(positions)} steps from {first['step']:,} to {last['step']:,}"
    if drift is not None and drift <= floor:
        text = f"{span}: the kernels drift by {drift:.3g}, not more than two draws of one distribution ({floor:.3g})."
        yield Finding(text=text, table=TABLE, row=positions[-1])
    elif drift is not None:
        text = (
            f"{span}: the kernels drift by {drift:.3g} (mean over kernels; two draws of one distribution: {floor:.3g})."
        )
        between: tuple[int, ...] = ()
        if len(positions) > 2:
            half, most = (_reaches(rows, positions, share * drift) for share in (0.5, 0.9))
            between = tuple(position for position in dict.fromkeys((half, most)) if position != positions[-1])
            text += (
                f" Half of it is reached at step {rows[half]['step']:,}, nine tenths at step {rows[most]['step']:,}."
            )
        yield Finding(
            text=text,
            table=TABLE,
            row=positions[-1],
            other_rows=between,
            estimate=Estimate(
                label=f"drift of the kernels of run {run_id} from step {first['step']:,} to {last['step']:,}",
                value=drift,
                note=f"mean over kernels; two draws of one distribution would give {floor:.3g}",
            ),
            columns=("run_id", "step"),
        )
    ends = _common_layers(layers, first["step"], last["step"])
    entropies = [_medians(end, "variance_entropy_norm") for end in ends]
    if None in entropies:
        return
    text = _change("the variance entropy", *(f"{value:.3f}" for value in entropies))
    dead = [_dead_share(end) for end in ends]
    if None not in dead:
        text += f"; {_change('the share of dead kernels', *(f'{value:.1%}' for value in dead))}"
    both = "" if len(ends[0]) == last["layers"] else " that both steps have"
    text = f"Run {run_id}: {text} (entropy: of 1, median over layers{both})."
    yield Finding(text=text, table=TABLE, row=positions[0], other_rows=(positions[-1],))


def _common_layers(layers: Sequence[Row], first: int, last: int) -> tuple[list[Row], list[Row]]:
    """Return the rows of the layers that both steps have, at the first and at the last: others would be no change."""
    # An id is that of the checkpoint, which differs between steps, and the tensor.
    at = [{row["layer_id"].rpartition("#")[2]: row for row in layers if row["step"] == step} for step in (first, last)]
    common = [key for key in at[0] if key in at[1]]
    return [at[0][key] for key in common], [at[1][key] for key in common]


def _medians(rows: Sequence[Row], name: str) -> float | None:
    known = [row[name] for row in rows if row[name] is not None]
    return median(known) if known else None


def _dead_share(rows: Sequence[Row]) -> float | None:
    known = [(row["n_kernels"], row["sparsity"]) for row in rows if row["sparsity"] is not None]
    kernels = sum(n for n, _ in known)
    return sum(n * share for n, share in known) / kernels if kernels else None


def _change(what: str, before: str, after: str) -> str:
    """Say how a number changes; texts are compared, as digits that are not shown are no change."""
    if before == after:
        return f"{what} stays at {after}"
    falls = float(after.rstrip("%")) < float(before.rstrip("%"))
    return f"{what} {'falls' if falls else 'rises'} from {before} to {after}"


def _reaches(rows: Sequence[Row], positions: Sequence[int], drift: float) -> int:
    """Return the position of the first step that has drifted so far."""
    return next(position for position in positions if (rows[position]["drift_from_first"] or 0) >= drift)
