"""What there is to do: a pure comparison of what is offered with what the catalog knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from filtercrawl.api.checkpoint import Checkpoint, Skipped, combined_etag
from filtercrawl.api.vocabulary import POLICIES, KernelPolicy
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.discovery.discover import Listing
from filtercrawl.pipeline.planning.types import CrawlTask, Plan, PlanOptions


def make_plan(listings: Sequence[Listing], options: PlanOptions) -> Plan:
    """Compare listings with what is known; reads nothing and changes nothing."""
    todo: dict[str, CrawlTask] = {}
    unchanged: list[str] = []
    waiting: list[str] = []
    skipped: dict[str, tuple[str, str, Skipped]] = {}
    seen: dict[str, tuple[str, Checkpoint]] = {}
    for listing in listings:
        source, selector_id = listing.selector.source, listing.selector.id
        for checkpoint in listing.checkpoints:
            model_id = options.renamed.get((source, checkpoint.name), f"{source}/{checkpoint.name}")
            if model_id in seen:
                continue  # two selectors, one checkpoint
            seen[model_id] = (selector_id, checkpoint)
            if (reason := license_refusal(checkpoint.meta.license, options)) is not None:
                left = Skipped(name=checkpoint.name, reason=reason, revision=checkpoint.revision)
                skipped[model_id] = (source, selector_id, left)
                continue
            known = effective_state(options.known_models.get(model_id), checkpoint, options)
            why = decide(checkpoint, known, options)
            if why == "unchanged":
                unchanged.append(model_id)
            elif why == "waiting":
                waiting.append(model_id)
            else:
                todo[model_id] = CrawlTask(
                    checkpoint=checkpoint,
                    source=source,
                    model_id=model_id,
                    selector_id=selector_id,
                    action=why,
                    policy=widest_policy(options.policy, known.kernel_policy if known else None),
                    previous=known,
                )
        for skip in listing.skipped:
            skipped.setdefault(f"{source}/{skip.name}", (source, selector_id, skip))
    return Plan(
        tasks=tuple(todo[model_id] for model_id in sorted(todo)),
        unchanged=tuple(unchanged),
        waiting=tuple(waiting),
        skipped=tuple(skipped.values()),
        removed=tuple(find_removed(listings, options.known_models, seen.keys() | skipped.keys())),
        seen=seen,
    )


def license_refusal(license_id: str | None, options: PlanOptions) -> str | None:
    """Say why a licence is reason enough to leave a checkpoint out; None where it is not."""
    if options.licenses and license_id not in options.licenses:
        return f"licence {license_id or 'unknown'}, asked for {', '.join(options.licenses)}"
    return options.license_policy.dropped(license_id)


def effective_state(known: ModelRow | None, checkpoint: Checkpoint, options: PlanOptions) -> ModelRow | None:
    """Return what is known; where its weights were withheld and may now be kept, as of bytes that nobody has read."""
    if known is None or known.has_weights or options.license_policy.decide(checkpoint.meta.license) != "keep":
        return known
    return known.unread()


Decision = Literal["new", "changed", "retry", "unchanged", "waiting"]


def decide(checkpoint: Checkpoint, known: ModelRow | None, options: PlanOptions) -> Decision:
    """Say what to do about one checkpoint."""
    if known is None:
        return "new"
    if known.outcome == "withdrawn":
        return "unchanged"
    tried = known.attempted_version
    if checkpoint.revision is not None:
        same = checkpoint.revision == tried.revision
    else:
        same = combined_etag(checkpoint) is not None and combined_etag(checkpoint) == tried.etag
    if not same or known.outcome == "skipped":
        return "changed"
    if known.reason is not None:  # the last try failed on these very bytes
        due = known.next_retry is None or known.next_retry <= options.now
        again = options.retry == "all" or (
            options.retry == "due" and (due or known.filtercrawl_version != options.version)
        )
        return "retry" if again else "waiting"
    before = known.kernel_policy
    return "unchanged" if before is not None and widest_policy(options.policy, before) == before else "changed"


def widest_policy(policy: KernelPolicy, before: KernelPolicy | None) -> KernelPolicy:
    """The wider of two policies: a narrower one drops nothing that is already there."""
    return policy if before is None else max(policy, before, key=POLICIES.index)


def find_removed(listings: Sequence[Listing], known: Mapping[str, ModelRow], seen: set[str]) -> list[tuple[str, str]]:
    """Return (model_id, selector id) of what a selector listed before and, listed in full, does not offer now.

    What lies below a folder that was skipped was not looked at: it is not gone.
    """
    complete = {listing.selector.id for listing in listings if listing.problem is None}
    hidden = tuple(f"{listing.selector.source}/{skip.name}/" for listing in listings for skip in listing.skipped)
    return [
        (model_id, selector_id)
        for model_id, row in known.items()
        if model_id not in seen and row.outcome not in ("withdrawn", "skipped") and not model_id.startswith(hidden)
        for selector_id in (row.selectors or ())
        if selector_id in complete
    ]
