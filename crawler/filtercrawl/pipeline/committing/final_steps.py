"""Which checkpoint is the last of its training run, decided when it is known which ones could be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filtercrawl.api.checkpoint import TrainingRun
    from filtercrawl.dataset.catalog import Catalog
    from filtercrawl.dataset.schema.model_row import ModelRow
    from filtercrawl.pipeline.records import Plan

# Source and id of a training run.
RunKey = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class RunMember:
    """A checkpoint of a training run.

    Attributes:
        step: Its step; None where it is unknown.
        stated: Whether it is the last one, where its source states it.
        gone: Whether its source offers it no longer; trainers delete earlier steps.
        usable: Whether the dataset has layers of it, or it was not tried yet. A last step without layers is not final:
            the one before is the last that analyses can use.
    """

    step: int | None
    stated: bool | None = None
    gone: bool = False
    usable: bool = True


def final_flags(members: Sequence[RunMember]) -> list[bool | None]:
    """Return for each checkpoint of one run whether it is the last one; None where that is unknown.

    Of what is usable and not gone the largest step is the last; where a source states which checkpoint is final, it is
    that one's step. Unknown where one of them has no known step, and of what is gone with a later step than these.
    """
    counted = [member for member in members if member.usable and not member.gone]
    last: int | None = None
    if all(member.step is not None for member in counted):
        stated = [member for member in counted if member.stated] or counted
        last = max((member.step for member in stated if member.step is not None), default=None)
    return [_is_final(member, last) for member in members]


def _is_final(member: RunMember, last: int | None) -> bool | None:
    if member.stated is not None:
        return member.stated
    if not member.usable or member.step is None or last is None:
        return None
    if member.gone:
        return False if member.step < last else None
    return member.step == last


def update_run_final(catalog: Catalog, plan: Plan, changed: Set[RunKey] = frozenset()) -> None:
    """Write `run_final` of the runs in which something has changed, after a plan was carried out as far as possible.

    Args:
        catalog: The catalog.
        plan: The plan of the run.
        changed: Runs that checkpoints of the plan were part of before.
    """
    offered = {
        model_id: checkpoint.run
        for model_id, (_, checkpoint) in plan.seen.items()
        if checkpoint.run is not None and checkpoint.run.id is not None
    }
    changed = changed | {(model_id.partition("/")[0], run.id or "") for model_id, run in offered.items()}
    changed |= {_run_of(task.previous) for task in plan.tasks if task.previous is not None and task.previous.run_id}
    changed |= {_run_of(row) for row in catalog.models_by_id(plan.removed_models) if row.run_id is not None}
    rows = {row.model_id: row for source, run_id in sorted(changed) for row in catalog.models_of_run(source, run_id)}
    for (source, name), model_id in catalog.renamed().items() if offered else ():
        if f"{source}/{name}" not in rows and (run := offered.pop(f"{source}/{name}", None)) is not None:
            offered[model_id] = run
    listed = offered.keys() | plan.settled
    gone = {model_id for model_id, _ in plan.removed} - offered.keys()
    for members in _runs(rows, offered, gone):
        if members.keys().isdisjoint(listed):
            continue
        for model_id, final in zip(members, final_flags(list(members.values())), strict=True):
            row = rows.get(model_id)
            # Of what is not offered nothing new is known, but that a later step is the last one.
            is_news = model_id in listed or (final is False and row is not None and row.run_final)
            if row is not None and is_news and row.run_final != final:
                with catalog.transaction():
                    catalog.update_model(replace(row, run_final=final))


def _run_of(row: ModelRow) -> RunKey:
    return row.source, row.run_id or ""


def _runs(
    rows: Mapping[str, ModelRow], offered: Mapping[str, TrainingRun], gone: Set[str]
) -> Iterator[dict[str, RunMember]]:
    """Yield the checkpoints of each run by model id."""
    runs: defaultdict[tuple[str, str | None], dict[str, RunMember]] = defaultdict(dict)
    for model_id, run in offered.items():
        if model_id not in rows:  # not tried yet
            runs[model_id.partition("/")[0], run.id][model_id] = RunMember(step=run.step, stated=run.final)
    for model_id, row in rows.items():
        runs[row.source, row.run_id][model_id] = RunMember(
            step=row.step,
            stated=row.state.run_final,
            gone=model_id in gone,
            usable=row.has_content and row.content_outcome != "no_kernels",
        )
    yield from runs.values()
