"""Approved plans: a later run carries out what was approved and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from filtercrawl.api.checkpoint import combined_etag
from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.pipeline.model_rows import source_metadata_changed
from filtercrawl.pipeline.records import CrawlTask, Plan


@dataclass(frozen=True, kw_only=True)
class Approval:
    """The part of a plan that may be carried out.

    Attributes:
        tasks: (action, revision, etag) by model id of what may be crawled.
        removed: Model ids that may be removed.
        skipped: Model ids that may be recorded as skipped.
        restated: Model ids whose metadata may be updated.
    """

    tasks: Mapping[str, tuple[str, str | None, str | None]] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    restated: frozenset[str] = frozenset()

    @classmethod
    def of(cls, plan: Plan, catalog: Catalog, limit: int | None = None) -> Self:
        """Approve a whole plan, with the first `limit` of its tasks."""
        return cls(
            tasks={task.model_id: _fingerprint(task) for task in plan.tasks[:limit]},
            removed=frozenset(model_id for model_id, _ in plan.removed) | plan.dropped,
            skipped=frozenset(f"{source}/{skip.name}" for source, _, skip in plan.skipped),
            restated=frozenset(_restated(plan, catalog)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the approval as a plan file stores it."""
        names = ("why", "revision", "etag")
        return {
            "todo": [{"model_id": k} | dict(zip(names, mark, strict=True)) for k, mark in sorted(self.tasks.items())],
            "removed": sorted(self.removed),
            "skipped": sorted(self.skipped),
            "restated": sorted(self.restated),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Parse the result of `to_dict`.

        Raises:
            UsageError: It is something else.
        """
        try:
            lists = {name: frozenset(map(str, content[name])) for name in ("removed", "skipped", "restated")}
            tasks = {
                str(item["model_id"]): (str(item["why"]), _text(item["revision"]), _text(item["etag"]))
                for item in content["todo"]
            }
        except (KeyError, TypeError) as error:
            raise UsageError(f"is no plan of this program: {type(error).__name__}: {error}") from error
        return cls(tasks=tasks, **lists)

    def restrict(self, plan: Plan, catalog: Catalog) -> Plan:
        """Return the approved part of a plan; the model ids of the rest are its `deferred`."""
        tasks = tuple(task for task in plan.tasks if self.tasks.get(task.model_id) == _fingerprint(task))
        described = set(_restated(plan, catalog)) - self.restated
        deferred = {task.model_id for task in plan.tasks} - {task.model_id for task in tasks}
        deferred |= (plan.removed_models | plan.dropped) - self.removed | described
        return replace(
            plan,
            tasks=tasks,
            removed=tuple(pair for pair in plan.removed if pair[0] in self.removed),
            dropped=plan.dropped & self.removed,
            skipped=tuple(item for item in plan.skipped if f"{item[0]}/{item[2].name}" in self.skipped),
            unchanged=tuple(model_id for model_id in plan.unchanged if model_id not in described),
            deferred=tuple(sorted(deferred)),
        )


def _fingerprint(task: CrawlTask) -> tuple[str, str | None, str | None]:
    return task.action, task.checkpoint.revision, combined_etag(task.checkpoint)


def _restated(plan: Plan, catalog: Catalog) -> Iterator[str]:
    for row in catalog.models_by_id(plan.unchanged):
        if source_metadata_changed(row, plan.seen[row.model_id][1]):
            yield row.model_id


def _text(value: object) -> str | None:
    return None if value is None else str(value)
