"""A plan that somebody looked at, and a later run that does that much and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from filtercrawl.api.checkpoint import combined_etag
from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables.source_metadata import source_metadata_changed
from filtercrawl.pipeline.planning.types import CrawlTask, Plan


@dataclass(frozen=True, kw_only=True)
class Approval:
    """What may be done. todo: model_id -> (why, revision, etag) of what may be read, None where its source tells none;
    removed, skipped, restated: model ids that may go, be left out, and be described anew.
    """

    todo: Mapping[str, tuple[str, str | None, str | None]] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    restated: frozenset[str] = frozenset()

    @classmethod
    def of(cls, plan: Plan, known: Mapping[str, ModelRow], limit: int | None = None) -> Self:
        """Approve a whole plan, of what is to be read the first `limit`."""
        return cls(
            todo={todo.model_id: _fingerprint(todo) for todo in plan.tasks[:limit]},
            removed=frozenset(model_id for model_id, _ in plan.removed),
            skipped=frozenset(f"{source}/{skip.name}" for source, _, skip in plan.skipped),
            restated=frozenset(_restated(plan, known)),
        )

    def as_json(self) -> dict[str, Any]:
        names = ("why", "revision", "etag")
        return {
            "todo": [{"model_id": k} | dict(zip(names, mark, strict=True)) for k, mark in sorted(self.todo.items())],
            "removed": sorted(self.removed),
            "skipped": sorted(self.skipped),
            "restated": sorted(self.restated),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `as_json` gave; raises UsageError for anything else."""
        try:
            lists = {name: frozenset(map(str, content[name])) for name in ("removed", "skipped", "restated")}
            todo = {
                str(item["model_id"]): (str(item["why"]), _text(item["revision"]), _text(item["etag"]))
                for item in content["todo"]
            }
        except (KeyError, TypeError) as error:
            raise UsageError(f"is no plan of this program: {type(error).__name__}: {error}") from error
        return cls(todo=todo, **lists)

    def restrict(self, plan: Plan, known: Mapping[str, ModelRow]) -> tuple[Plan, list[str]]:
        """Return what of a plan is approved, and the model ids that are left for another time."""
        todo = tuple(todo for todo in plan.tasks if self.todo.get(todo.model_id) == _fingerprint(todo))
        kept = {todo.model_id for todo in todo}
        described = set(_restated(plan, known)) - self.restated
        left = {todo.model_id for todo in plan.tasks} - kept
        left |= {model_id for model_id, _ in plan.removed} - self.removed | described
        allowed = replace(
            plan,
            tasks=todo,
            removed=tuple(pair for pair in plan.removed if pair[0] in self.removed),
            skipped=tuple(item for item in plan.skipped if f"{item[0]}/{item[2].name}" in self.skipped),
            unchanged=tuple(model_id for model_id in plan.unchanged if model_id not in described),
        )
        return allowed, sorted(left)


def _fingerprint(todo: CrawlTask) -> tuple[str, str | None, str | None]:
    return todo.action, todo.checkpoint.revision, combined_etag(todo.checkpoint)


def _restated(plan: Plan, known: Mapping[str, ModelRow]) -> Iterable[str]:
    return (model_id for model_id in plan.unchanged if source_metadata_changed(known[model_id], plan.seen[model_id][1]))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
