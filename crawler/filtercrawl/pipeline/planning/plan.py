"""Plan a run: compare what is offered with what the catalog knows; nothing is read or written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from filtercrawl.api.checkpoint import Checkpoint, Skipped, combined_etag, is_local
from filtercrawl.api.vocabulary import POLICIES, KernelPolicy
from filtercrawl.config import Retry
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.dataset.schema.model_row import ContentKey, ModelRow
from filtercrawl.pipeline.discovery.discover import Listing
from filtercrawl.pipeline.discovery.opt_out import OptOut
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.records import CrawlTask, Plan

Decision = Literal["new", "changed", "retry", "unchanged", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Decides what a run does with what is offered.

    Attributes:
        now: Time of the run.
        version: Version of filtercrawl; failures of another version are retried.
        policy: Which kernel sizes are kept.
        retry: Which failed checkpoints are retried.
        licenses: Only checkpoints with one of these licenses are crawled; empty for any license.
        license_policy: What may be kept of a checkpoint under which license.
        opt_out: What may not be fetched nor kept.
        known_models: Rows of `models` by model id.
        renamed: Model id by (source, new name).
        approval: The part of the plan that may be carried out; None for all of it.
    """

    now: datetime
    version: str
    policy: KernelPolicy = "spatial"
    retry: Retry = "due"
    licenses: tuple[str, ...] = ()
    license_policy: LicensePolicy = field(default_factory=LicensePolicy)
    opt_out: OptOut = field(default_factory=OptOut)
    known_models: Mapping[str, ModelRow] = field(default_factory=dict)
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict)
    approval: Approval | None = None

    def plan(self, listings: Sequence[Listing]) -> Plan:
        """Compare listings with what is known, and return what the run will do."""
        tasks: dict[str, CrawlTask] = {}
        unchanged: list[str] = []
        waiting: list[str] = []
        skipped: dict[str, tuple[str, str, Skipped]] = {}
        seen: dict[str, tuple[str, Checkpoint]] = {}
        renamed = self.renames_in_force(listings)
        for listing in listings:
            source, selector_id = listing.selector.source, listing.selector.id
            for checkpoint in listing.checkpoints:
                name_id = f"{source}/{checkpoint.name}"
                model_id = renamed.get(name_id, name_id)
                if model_id in seen:
                    continue  # two selectors, one checkpoint
                seen[model_id] = (selector_id, checkpoint)
                if (reason := self.license_refusal(checkpoint.meta.license)) is not None:
                    refused = Skipped(name=checkpoint.name, reason=reason, revision=checkpoint.revision)
                    skipped[model_id] = (source, selector_id, refused)
                    continue
                known = self.effective_state(self.known_models.get(model_id), checkpoint)
                action = self.decide(checkpoint, known)
                if action == "unchanged":
                    unchanged.append(model_id)
                elif action == "waiting":
                    waiting.append(model_id)
                else:
                    tasks[model_id] = CrawlTask(
                        checkpoint=checkpoint,
                        source=source,
                        model_id=model_id,
                        selector_id=selector_id,
                        action=action,
                        policy=widest_policy(self.policy, known.kernel_policy if known else None),
                        previous=known,
                    )
            for skip in listing.skipped:
                skipped.setdefault(f"{source}/{skip.name}", (source, selector_id, skip))
        plan = Plan(
            tasks=tuple(tasks[model_id] for model_id in sorted(tasks)),
            unchanged=tuple(unchanged),
            waiting=tuple(waiting),
            skipped=tuple(skipped.values()),
            removed=tuple(find_removed(listings, self.known_models, seen.keys() | skipped.keys())),
            seen=seen,
            opted_out=tuple(self.find_opted_out()),
        )
        return plan if self.approval is None else self.approval.restrict(plan, self.known_models)

    def renames_in_force(self, listings: Sequence[Listing]) -> dict[str, str]:
        """Return, by the id that an offered name would have, the older id under which its checkpoint is kept.

        A rename ends when the old name is offered again, or when the new name has become a checkpoint of its own: each
        name is then one checkpoint.
        """
        offered = {f"{listing.selector.source}/{item.name}" for listing in listings for item in listing.checkpoints}
        renamed: dict[str, str] = {}
        for (source, name), model_id in self.renamed.items():
            own = self.known_models.get(f"{source}/{name}")
            if model_id not in offered and (own is None or own.outcome == "skipped"):
                renamed[f"{source}/{name}"] = model_id
        return renamed

    def license_refusal(self, license_id: str | None) -> str | None:
        """Return why a checkpoint may not be crawled under its license, None if it may."""
        if self.licenses and license_id not in self.licenses:
            return f"license {license_id or 'unknown'}, asked for {', '.join(self.licenses)}"
        return self.license_policy.dropped(license_id)

    def effective_state(self, known: ModelRow | None, checkpoint: Checkpoint) -> ModelRow | None:
        """Return the known row of a checkpoint, as if it were never read if reading it again would give something else.

        That is so if its withheld weights may be kept now, or if its architecture is stated otherwise.
        """
        local = is_local(checkpoint.files[0])
        if (
            local
            and known is not None
            and known.has_content
            and json.loads(known.extra or "{}").get("arch") != checkpoint.arch
        ):
            return known.unread()
        if known is None or known.has_weights or self.license_policy.decide(checkpoint.meta.license) != "keep":
            return known
        return known.unread()

    def decide(self, checkpoint: Checkpoint, known: ModelRow | None) -> Decision:
        """Decide what to do with one offered checkpoint.

        Args:
            checkpoint: What is offered.
            known: Its row of `models`, None for a new checkpoint.
        """
        if known is None:
            return "new"
        if known.outcome == "withdrawn":
            return "unchanged"
        attempted = known.attempted_version
        if checkpoint.revision is not None:
            is_same = checkpoint.revision == attempted.revision
        else:
            is_same = combined_etag(checkpoint) is not None and combined_etag(checkpoint) == attempted.etag
        if not is_same or known.outcome == "skipped":
            return "changed"
        if known.reason is not None:  # the last attempt failed on the same bytes
            is_due = known.next_retry is None or known.next_retry <= self.now
            may_retry = self.retry == "all" or (
                self.retry == "due" and (is_due or known.filtercrawl_version != self.version)
            )
            return "retry" if may_retry else "waiting"
        before = known.kernel_policy
        return "unchanged" if before is not None and widest_policy(self.policy, before) == before else "changed"

    def find_opted_out(self) -> list[str]:
        """Return the model ids of what the dataset holds although an opt-out names it."""
        return [
            model_id
            for model_id, row in self.known_models.items()
            if self.opt_out.matches(row) and row.outcome not in ("skipped", "withdrawn")
        ]


def widest_policy(policy: KernelPolicy, before: KernelPolicy | None) -> KernelPolicy:
    """Return the wider of two policies: a narrower one removes nothing that is already in the dataset."""
    return policy if before is None else max(policy, before, key=POLICIES.index)


def find_removed(listings: Sequence[Listing], known: Mapping[str, ModelRow], seen: set[str]) -> list[tuple[str, str]]:
    """Return (model id, selector id) of what a selector listed before and does not offer now.

    Only complete listings count, and nothing below a skipped folder, which was not listed.

    Args:
        listings: What the selectors offer.
        known: Rows of `models` by model id.
        seen: Model ids of everything that is offered or skipped.
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


def content_owners(known: Mapping[str, ModelRow]) -> dict[ContentKey, str]:
    """Return the checkpoint that holds each content, for all contents that need not be read again."""
    return {
        row.content_key: model_id
        for model_id, row in sorted(known.items(), reverse=True)
        if row.file_sha256 and row.reason is None and row.state.prefix is not None and row.has_weights
    }


def removed_by_hash(plan: Plan, known: Mapping[str, ModelRow]) -> dict[tuple[str, str], list[str]]:
    """Return the removed model ids by (selector id, file SHA-256): a new name with such a file is a rename."""
    removed: dict[tuple[str, str], list[str]] = {}
    for model_id, selector_id in sorted(plan.removed):
        row = known[model_id]
        if row.file_sha256 and row.reason is None:
            removed.setdefault((selector_id, row.file_sha256), []).append(model_id)
    return removed
