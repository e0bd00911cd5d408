"""Plan a run: compare what is offered with what the catalog knows; nothing is read or written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from filtercrawl.api.checkpoint import Checkpoint, Skipped, combined_etag, is_local
from filtercrawl.api.vocabulary import POLICIES, KernelPolicy
from filtercrawl.config import Restricted, Retry
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.known_models import batches
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.discovery.discover import Listing
from filtercrawl.pipeline.discovery.opt_out import OptOut
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.model_rows import seen_row
from filtercrawl.pipeline.offer_digest import OfferDigest
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.planning.restricted import find_restricted
from filtercrawl.pipeline.records import REFUSED, CrawlTask, Plan
from filtercrawl.pipeline.retry_pause import is_due

Decision = Literal["new", "changed", "retry", "unchanged", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Decides what a run does with what is offered.

    Attributes:
        now: Time of the run.
        version: Version of filtercrawl; failures of another version are retried.
        catalog: What is known.
        policy: Which kernel sizes are kept.
        refuse_code: Whether files that name code are not to be read.
        retry: Which failed checkpoints are retried.
        licenses: Only checkpoints with one of these licenses are crawled; empty for any license.
        license_policy: What may be kept of a checkpoint under which license.
        opt_out: What may not be fetched nor kept.
        restricted: What becomes of what the dataset holds of repositories that give no access any more.
        approval: The part of the plan that may be carried out; None for all of it.
    """

    now: datetime
    version: str
    catalog: Catalog
    policy: KernelPolicy = "spatial"
    refuse_code: bool = False
    retry: Retry = "due"
    licenses: tuple[str, ...] = ()
    license_policy: LicensePolicy = field(default_factory=LicensePolicy)
    opt_out: OptOut = field(default_factory=OptOut)
    restricted: Restricted = "keep"
    approval: Approval | None = None

    @property
    def digest(self) -> OfferDigest:
        """Digests of offers, for what this planner decides."""
        return OfferDigest(
            version=self.version,
            policy=self.policy,
            licenses=self.licenses,
            license_policy=self.license_policy,
            refuse_code=self.refuse_code,
        )

    def plan(self, listings: Sequence[Listing]) -> Plan:
        """Compare listings with what is known, and return what the run will do."""
        draft = _Draft()
        renamed = self.renames_in_force(listings)
        for listing in listings:
            for checkpoints in batches(listing.checkpoints):
                self._plan_batch(listing.selector, checkpoints, renamed, draft)
            source, selector_id = listing.selector.source, listing.selector.id
            for skip in listing.skipped:
                draft.skipped.setdefault(f"{source}/{skip.name}", (source, selector_id, skip))
        offered = draft.seen.keys() | draft.settled | draft.skipped.keys()
        restricted = find_restricted(listings, self.catalog, draft.seen.keys() | draft.settled)
        plan = Plan(
            tasks=tuple(draft.tasks[model_id] for model_id in sorted(draft.tasks)),
            unchanged=tuple(draft.unchanged),
            waiting=tuple(draft.waiting),
            skipped=tuple(draft.skipped.values()),
            removed=tuple(find_removed(listings, self.catalog, offered)),
            gone=tuple(find_gone(listings, self.catalog, offered)),
            seen=draft.seen,
            settled=frozenset(draft.settled),
            opted_out=tuple(self.find_opted_out()),
            restricted=restricted,
            dropped=frozenset(restricted) if self.restricted == "remove" else frozenset(),
        )
        return plan if self.approval is None else self.approval.restrict(plan, self.catalog)

    def _plan_batch(
        self, selector: Selector, checkpoints: Sequence[Checkpoint], renamed: Mapping[str, str], draft: _Draft
    ) -> None:
        """Plan for some hundred checkpoints of one selector."""
        offered: dict[str, Checkpoint] = {}
        for checkpoint in checkpoints:
            name_id = f"{selector.source}/{checkpoint.name}"
            model_id = renamed.get(name_id, name_id)
            if model_id not in draft.seen and model_id not in draft.settled:  # two selectors may list one checkpoint
                offered.setdefault(model_id, checkpoint)
        settled = self._settled(selector, offered)
        draft.settled |= settled
        rest = {model_id: checkpoint for model_id, checkpoint in offered.items() if model_id not in settled}
        known_models = {row.model_id: row for row in self.catalog.models_by_id(rest)}
        for model_id, checkpoint in rest.items():
            draft.seen[model_id] = (selector.id, checkpoint)
            if (reason := self.license_refusal(checkpoint.meta.license)) is not None:
                refused = Skipped(name=checkpoint.name, reason=reason, revision=checkpoint.revision)
                draft.skipped[model_id] = (selector.source, selector.id, refused)
                continue
            known = self.effective_state(known_models.get(model_id), checkpoint)
            action = self.decide(checkpoint, known)
            if action == "unchanged":
                draft.unchanged.append(model_id)
            elif action == "waiting":
                draft.waiting.append(model_id)
            else:
                draft.tasks[model_id] = CrawlTask(
                    checkpoint=checkpoint,
                    source=selector.source,
                    model_id=model_id,
                    selector_id=selector.id,
                    action=action,
                    policy=widest_policy(self.policy, known.kernel_policy if known else None),
                    previous=known,
                    refuse_code=self.refuse_code,
                )

    def _settled(self, selector: Selector, offered: Mapping[str, Checkpoint]) -> set[str]:
        """Return the model ids of what is offered just as it was when its row was made."""
        before = self.catalog.offers_of(selector.id, list(offered))
        digest = self.digest
        return {model_id for model_id, known in before.items() if known == digest.of(offered[model_id])}

    def renames_in_force(self, listings: Sequence[Listing]) -> dict[str, str]:
        """Return, by the id that an offered name would have, the older id under which its checkpoint is kept.

        A rename ends when the old name is offered again, or when the new name has become a checkpoint of its own: each
        name is then one checkpoint.
        """
        renames = {f"{source}/{name}": model_id for (source, name), model_id in self.catalog.renamed().items()}
        if not renames:
            return {}
        offered = {f"{listing.selector.source}/{item.name}" for listing in listings for item in listing.checkpoints}
        own = {row.model_id for row in self.catalog.models_by_id(renames) if row.outcome != "skipped"}
        return {name: model_id for name, model_id in renames.items() if model_id not in offered and name not in own}

    def license_refusal(self, license_id: str | None) -> str | None:
        """Return why a checkpoint may not be crawled under its license, None if it may."""
        if self.licenses and license_id not in self.licenses:
            return f"license {license_id or 'unknown'}, asked for {', '.join(self.licenses)}"
        return self.license_policy.dropped(license_id)

    def effective_state(self, known: ModelRow | None, checkpoint: Checkpoint) -> ModelRow | None:
        """Return the known row of a checkpoint, as if it were never read if reading it again would give something else.

        That is so if its withheld weights may be kept now, if its architecture is stated otherwise, or if it names code
        and is to be refused for that now.
        """
        if self.refuse_code and known is not None and known.state.code and known.reason is None:
            return known.unread()
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
        if known.reason is not None and REFUSED in known.reason and not self.refuse_code:
            return "retry"
        if known.reason is not None:  # the last attempt failed on the same bytes
            due = is_due(known.next_retry, self.now) or known.filtercrawl_version != self.version
            may_retry = self.retry == "all" or (self.retry == "due" and due)
            return "retry" if may_retry else "waiting"
        before = known.kernel_policy
        return "unchanged" if before is not None and widest_policy(self.policy, before) == before else "changed"

    def is_settled(self, checkpoint: Checkpoint, known: ModelRow) -> bool:
        """Tell whether a run that finds just this offer again has nothing to do, nor to write, for its checkpoint."""
        return (
            self.decide(checkpoint, self.effective_state(known, checkpoint)) == "unchanged"
            and seen_row(known, checkpoint, known.last_seen) == known
            and combined_etag(checkpoint) == known.etag
        )

    def find_opted_out(self) -> list[str]:
        """Return the model ids of what the dataset holds although an opt-out names it."""
        if not self.opt_out.patterns:
            return []
        return [
            row.model_id
            for row in self.catalog.models()
            if self.opt_out.matches(row) and row.outcome not in ("skipped", "withdrawn")
        ]


@dataclass(kw_only=True)
class _Draft:
    """A plan that is being made; see `Plan`."""

    tasks: dict[str, CrawlTask] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    skipped: dict[str, tuple[str, str, Skipped]] = field(default_factory=dict)
    seen: dict[str, tuple[str, Checkpoint]] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)


def widest_policy(policy: KernelPolicy, before: KernelPolicy | None) -> KernelPolicy:
    """Return the wider of two policies: a narrower one removes nothing that is already in the dataset."""
    return policy if before is None else max(policy, before, key=POLICIES.index)


def find_removed(listings: Sequence[Listing], catalog: Catalog, offered: Set[str]) -> list[tuple[str, str]]:
    """Return (model id, selector id) of what a selector listed before and does not offer now.

    Only complete listings count, and nothing below a skipped folder, which was not listed.

    Args:
        listings: What the selectors offer.
        catalog: What is known.
        offered: Model ids of everything that is offered or skipped.
    """
    hidden = tuple(f"{listing.selector.source}/{skip.name}/" for listing in listings for skip in listing.skipped)
    missing = [
        (model_id, selector_id)
        for model_id, selector_id, _ in _missing(listings, catalog, offered)
        if not model_id.startswith(hidden)
    ]
    known = catalog.models_by_id({model_id for model_id, _ in missing})
    removed = {row.model_id for row in known if row.outcome not in ("withdrawn", "skipped")}
    return [pair for pair in missing if pair[0] in removed]


def find_gone(listings: Sequence[Listing], catalog: Catalog, offered: Set[str]) -> list[tuple[str, str]]:
    """Return (model id, selector id) of what the last complete listing of a selector had, and this one has not."""
    missing = _missing(listings, catalog, offered)
    return [(model_id, selector_id) for model_id, selector_id, was_present in missing if was_present]


def _missing(listings: Sequence[Listing], catalog: Catalog, offered: Set[str]) -> Iterator[tuple[str, str, bool]]:
    for selector_id in sorted({listing.selector.id for listing in listings if listing.problem is None}):
        for model_id, was_present in catalog.listed_by(selector_id):
            if model_id not in offered:
                yield model_id, selector_id, was_present


def removed_by_hash(plan: Plan, catalog: Catalog) -> dict[tuple[str, str], list[str]]:
    """Return the removed model ids by (selector id, file SHA-256): a new name with such a file is a rename."""
    known = {row.model_id: row for row in catalog.models_by_id(plan.removed_models)}
    removed: dict[tuple[str, str], list[str]] = {}
    for model_id, selector_id in sorted(plan.removed):
        row = known[model_id]
        if row.file_sha256 and row.reason is None:
            removed.setdefault((selector_id, row.file_sha256), []).append(model_id)
    return removed
