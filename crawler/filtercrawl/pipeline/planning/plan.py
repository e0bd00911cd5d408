"""What there is to do: a pure comparison of what is offered with what the catalog knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from filtercrawl.api.checkpoint import Checkpoint, Skipped, etag
from filtercrawl.api.vocabulary import POLICIES, KernelPolicy
from filtercrawl.config.license_policy import METADATA
from filtercrawl.dataset.tables.model_row import UNREAD
from filtercrawl.pipeline.planning.types import Known, Plan, Rules, Todo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from filtercrawl.pipeline.discovery.discover import Listing


def make_plan(listings: Sequence[Listing], rules: Rules) -> Plan:
    """Compare listings with what is known; reads nothing and changes nothing."""
    todo: dict[str, Todo] = {}
    unchanged: list[str] = []
    waiting: list[str] = []
    skipped: dict[str, tuple[str, str, Skipped]] = {}
    seen: dict[str, tuple[str, Checkpoint]] = {}
    for listing in listings:
        source, selector_id = listing.selector.source, listing.selector.id
        for checkpoint in listing.checkpoints:
            model_id = rules.renamed.get((source, checkpoint.name), f"{source}/{checkpoint.name}")
            if model_id in seen:
                continue  # two selectors, one checkpoint
            seen[model_id] = (selector_id, checkpoint)
            if (reason := refused(checkpoint.meta.license, rules)) is not None:
                left = Skipped(name=checkpoint.name, reason=reason, revision=checkpoint.revision)
                skipped[model_id] = (source, selector_id, left)
                continue
            known = sought(rules.known.get(model_id), checkpoint, rules)
            why = decide(checkpoint, known, rules)
            if why == "unchanged":
                unchanged.append(model_id)
            elif why == "waiting":
                waiting.append(model_id)
            else:
                todo[model_id] = Todo(
                    checkpoint=checkpoint,
                    source=source,
                    model_id=model_id,
                    selector_id=selector_id,
                    why=why,
                    policy=wider(rules.policy, known.get("kernel_policy") if known else None),
                    known=known,
                )
        for skip in listing.skipped:
            skipped.setdefault(f"{source}/{skip.name}", (source, selector_id, skip))
    return Plan(
        todo=tuple(todo[model_id] for model_id in sorted(todo)),
        unchanged=tuple(unchanged),
        waiting=tuple(waiting),
        skipped=tuple(skipped.values()),
        removed=tuple(gone(listings, rules.known, seen.keys() | skipped.keys())),
        seen=seen,
    )


def refused(license_id: str | None, rules: Rules) -> str | None:
    """Say why a licence is reason enough to leave a checkpoint out; None where it is not."""
    if rules.licenses and license_id not in rules.licenses:
        return f"licence {license_id or 'unknown'}, asked for {', '.join(rules.licenses)}"
    return rules.rights.dropped(license_id)


def sought(known: Known | None, checkpoint: Checkpoint, rules: Rules) -> Known | None:
    """Return what is known; where its weights were withheld and may now be kept, as of bytes that nobody has read."""
    if (
        known is None
        or known.get("license_policy") != METADATA
        or rules.rights.decide(checkpoint.meta.license) != "keep"
    ):
        return known
    return {**known, **UNREAD}


Decision = Literal["new", "changed", "retry", "unchanged", "waiting"]


def decide(checkpoint: Checkpoint, known: Known | None, rules: Rules) -> Decision:
    """Say what to do about one checkpoint."""
    if known is None:
        return "new"
    if known["outcome"] == "withdrawn":
        return "unchanged"
    tried = known.get("_tried") or {"revision": known["revision"], "etag": known["etag"]}
    if checkpoint.revision is not None:
        same = checkpoint.revision == tried["revision"]
    else:
        same = etag(checkpoint) is not None and etag(checkpoint) == tried["etag"]
    if not same or known["outcome"] == "skipped":
        return "changed"
    if known["reason"] is not None:  # the last try failed on these very bytes
        due = known["next_retry"] is None or known["next_retry"] <= rules.now
        again = rules.retry == "all" or (
            rules.retry == "due" and (due or known["filtercrawl_version"] != rules.version)
        )
        return "retry" if again else "waiting"
    before = known.get("kernel_policy")
    return "unchanged" if before is not None and wider(rules.policy, before) == before else "changed"


def wider(policy: KernelPolicy, before: KernelPolicy | None) -> KernelPolicy:
    """The wider of two policies: a narrower one drops nothing that is already there."""
    return policy if before is None else max(policy, before, key=POLICIES.index)


def gone(listings: Sequence[Listing], known: Mapping[str, Known], seen: set[str]) -> list[tuple[str, str]]:
    """Return (model_id, selector id) of what a selector listed before and, listed in full, does not offer now.

    What lies below a folder that was skipped was not looked at: it is not gone.
    """
    complete = {listing.selector.id for listing in listings if listing.problem is None}
    hidden = tuple(f"{listing.selector.source}/{skip.name}/" for listing in listings for skip in listing.skipped)
    return [
        (model_id, selector_id)
        for model_id, row in known.items()
        if model_id not in seen and row["outcome"] not in ("withdrawn", "skipped") and not model_id.startswith(hidden)
        for selector_id in (row.get("selectors") or [])
        if selector_id in complete
    ]
