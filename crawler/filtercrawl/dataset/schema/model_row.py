"""A row of `models`: one checkpoint, and what its row says about its content."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import pyarrow as pa

from filtercrawl.config.license_policy import METADATA, Policy
from filtercrawl.dataset.schema.column import TableRow, column, table_row
from filtercrawl.dataset.schema.crawl_state import NO_VERSION, AttemptedVersion, CrawlState
from filtercrawl.dataset.schema.version_order import release_order

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from filtercrawl.api.vocabulary import KernelPolicy

ModelOutcome = Literal["emitted", "no_kernels", "duplicate", "skipped", "failed", "withdrawn"]

# (file sha256, prefix, kernel policy): checkpoints that have these in common have the same layers.
ContentKey = tuple[str, str, str]

_texts: Final = pa.list_(pa.string())
_time: Final = pa.timestamp("us", tz="UTC")


@table_row
class ModelRow(TableRow):
    """One checkpoint that was ever seen. None means unknown."""

    model_id: str = column(pa.string(), "`source/name`; never changes")
    source: str = column(pa.string(), "the source that listed it")
    name: str = column(pa.string(), "the name under which it was first listed")
    aliases: tuple[str, ...] | None = column(_texts, "other names", default=None)
    outcome: ModelOutcome = column(pa.string(), "emitted, no_kernels, duplicate, skipped, failed or withdrawn")
    reason: str | None = column(pa.string(), "why it was not emitted", default=None)
    attempts: int = column(pa.int32(), "failed attempts in a row", default=0)
    next_retry: datetime | None = column(_time, "not retried before this time", default=None)
    revision: str | None = column(pa.string(), "changes exactly when the bytes do", default=None)
    etag: str | None = column(pa.string(), "as the server states it", default=None)
    last_modified: datetime | None = column(_time, "as the server states it", default=None)
    file: str | None = column(pa.string(), "path of the main file at its source", default=None)
    url: str | None = column(pa.string(), "URL of the main file, without a query", default=None)
    format: str | None = column(pa.string(), "format of the file, the name of its reader", default=None)
    file_sha256: str | None = column(pa.string(), "SHA-256 of the file", default=None)
    file_bytes: int | None = column(pa.int64(), "size of the files", default=None)
    bytes_fetched: int | None = column(pa.int64(), "bytes of the files that were fetched", default=None)
    architecture: str | None = column(pa.string(), "as the source states it", default=None)
    family: str | None = column(pa.string(), "family of the architecture", default=None)
    tag: str | None = column(pa.string(), "which training of the architecture", default=None)
    library: str | None = column(pa.string(), "library that loads it", default=None)
    task: str | None = column(pa.string(), "as the source states it, in the Hub's vocabulary", default=None)
    visual_category: str | None = column(pa.string(), "what the training images show", default=None)
    training_datasets: tuple[str, ...] | None = column(_texts, "in order of training", default=None)
    license: str | None = column(pa.string(), "SPDX expression; null where unknown", default=None)
    license_evidence: str | None = column(pa.string(), "where the license was read", default=None)
    paper: str | None = column(pa.string(), "as the source states it", default=None)
    released: str | None = column(pa.string(), "date, as the source states it", default=None)
    run_id: str | None = column(pa.string(), "training run that it is a checkpoint of", default=None)
    step: int | None = column(pa.int64(), "step of that run", default=None)
    seed: int | None = column(pa.int64(), "seed of that run", default=None)
    run_final: bool | None = column(pa.bool_(), "whether it is the last checkpoint of the run", default=None)
    metrics: str | None = column(pa.string(), "JSON, as the source states them", default=None)
    extra: str | None = column(pa.string(), "JSON, everything else that the source states", default=None)
    num_params: int | None = column(pa.int64(), "numbers in all tensors", default=None)
    n_layers: int | None = column(pa.int64(), "emitted layers", default=None)
    n_kernels: int | None = column(pa.int64(), "emitted kernels", default=None)
    n_kernels_3x3: int | None = column(pa.int64(), "emitted kernels of size 3x3", default=None)
    tensors_emitted: int | None = column(pa.int64(), "emitted tensors in `ledger`", default=None)
    tensors_skipped: int | None = column(pa.int64(), "skipped tensors in `ledger`", default=None)
    duplicate_of: str | None = column(pa.string(), "checkpoint that stores the same weights", default=None)
    layers_file: str | None = column(
        pa.string(), "its own file of weights; null where another checkpoint stores them", default=None
    )
    kernel_policy: KernelPolicy | None = column(pa.string(), "which kernel sizes were asked for", default=None)
    verified: str | None = column(
        pa.string(), "what its bytes were verified against: sha256, etag, size or none", default=None
    )
    first_seen: datetime | None = column(_time, "first listing that had it", default=None)
    last_seen: datetime | None = column(_time, "last listing that had it", default=None)
    first_release: str | None = column(pa.string(), "first version that published it", default=None)
    crawled_at: datetime | None = column(_time, "when its content was read", default=None)
    filtercrawl_version: str | None = column(pa.string(), "version of filtercrawl that read it", default=None)
    selectors: tuple[str, ...] | None = column(_texts, "selectors that list it", default=None)
    license_policy: str | None = column(
        pa.string(), "`metadata` where its license keeps its weights from being published", default=None
    )
    state: CrawlState = column(
        pa.string(), "JSON, what the next crawl compares with", default=CrawlState(), nullable=True
    )

    def to_arrow(self) -> dict[str, Any]:
        """Return the row as it is published, its crawl state as JSON."""
        return {**vars(self), "state": self.state.pack(self._current)}

    @classmethod
    def from_arrow(cls, values: Mapping[str, Any]) -> Self:
        """Make a row of a published one.

        Raises:
            ValueError: The column `state` is not as it was written.
            TypeError: A required column is missing.
        """
        current = AttemptedVersion(revision=values.get("revision"), etag=values.get("etag"))
        return cls.from_stored(values, CrawlState.unpack(values.get("state"), current, values.get("url")))

    @classmethod
    def from_stored(cls, values: Mapping[str, Any], state: CrawlState) -> Self:
        """Make a row of the values of its columns and its crawl state."""
        return super().from_arrow({**values, "state": state})

    @property
    def _current(self) -> AttemptedVersion:
        return AttemptedVersion(revision=self.revision, etag=self.etag)

    @property
    def attempted_version(self) -> AttemptedVersion:
        """The version that was read last, whether or not that worked."""
        return self.state.tried or self._current

    @property
    def offered_as(self) -> str:
        """The name under which the source offers the checkpoint."""
        return self.state.offered_as or self.name

    @property
    def content_key(self) -> ContentKey:
        """What it has in common with every checkpoint of the same layers."""
        return self.file_sha256 or "", self.state.prefix or "", self.kernel_policy or ""

    @property
    def has_weights(self) -> bool:
        """Whether the dataset stores the weights of the checkpoint's layers, if it has any."""
        return self.license_policy != METADATA

    @property
    def has_content(self) -> bool:
        """Whether it was read: its tensors are in `ledger`."""
        return self.tensors_emitted is not None

    @property
    def ownership_key(self) -> tuple[str, bool, str]:
        """The order among checkpoints of one content: the first by release, then files before links, then ids."""
        return release_order(self.first_release), self.state.linked is True, self.model_id

    @property
    def content_outcome(self) -> ModelOutcome:
        """The outcome that the stored content stands for, whatever happened to the last attempt."""
        if self.layers_file is not None:
            return "emitted"
        if self.duplicate_of is not None:
            return "duplicate"
        return "emitted" if self.n_layers or not self.has_weights else "no_kernels"

    @property
    def shares_weights(self) -> bool:
        """Whether it is no duplicate, but another checkpoint with the same layers stores their weights."""
        return self.layers_file is None and self.duplicate_of is None and self.has_weights and bool(self.n_layers)

    def exceeds(self, policy: Policy) -> bool:
        """Tell whether the dataset holds more of the checkpoint than the policy of its license allows."""
        if policy == "drop":
            return self.outcome not in ("skipped", "withdrawn")
        return policy == METADATA and (self.layers_file is not None or self.shares_weights)

    def unread(self) -> Self:
        """Return the row of a checkpoint whose bytes are read again, whatever its source says of them."""
        state = replace(self.state, tried=NO_VERSION, version=None, tensors=None)
        return replace(self, file_sha256=None, state=state)

    def without_content(self) -> Self:
        """Return the row without what it says about layers."""
        return replace(
            self,
            n_layers=None,
            n_kernels=None,
            n_kernels_3x3=None,
            tensors_emitted=None,
            tensors_skipped=None,
            layers_file=None,
            duplicate_of=None,
            next_retry=None,
            license_policy=None,
        )

    def with_lost_weights(self, reason: str) -> Self:
        """Return the row of a checkpoint whose weights are lost: failed, and read again."""
        return replace(self.without_content().unread(), outcome="failed", reason=reason)
