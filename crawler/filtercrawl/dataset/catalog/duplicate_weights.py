"""Which of several checkpoints of one content keeps the weights, and what happens when one of them goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from filtercrawl.config.license_policy import METADATA, LicensePolicy
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.atomic import replace_if_changed
from filtercrawl.dataset.files.layers_reader import LayersFileReader
from filtercrawl.dataset.files.layout import TEMPORARY
from filtercrawl.dataset.schema.rows import Row
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.dataset.tables.model_row import UNREAD, clear_content, mark_weights_lost, outcome, ownership_key
from filtercrawl.dataset.tables.staged_layers import StagedLayers, copy_layers, discard


@dataclass(kw_only=True)
class WeightOwnership:
    """The checkpoints of a dataset and their files of layers.

    rights: whose weights may be published. fetch_layers_file: puts a file of layers into its place that only a release
    holds, where
    weights must be written again.
    """

    dataset: Path
    catalog: Catalog
    license_policy: LicensePolicy = field(default_factory=LicensePolicy)
    fetch_layers_file: Callable[[str], None] | None = None

    def prune(self, model_id: str, reason: str = "no longer offered by its source") -> None:
        """Take out what a checkpoint brought; the row in `models` stays and says why."""
        known = self.catalog.model(model_id)
        if known is not None and known["outcome"] != "withdrawn":
            with self.catalog.transaction():
                self._clear_content(
                    known, {"outcome": "skipped", "reason": reason, "selectors": [], "file_sha256": None}
                )

    def withdraw(self, model_id: str, reason: str, when: datetime) -> None:
        """Take out what a checkpoint brought, for good: it is never read again, and `withdrawn` says why."""
        known = self.catalog.model(model_id)
        assert known is not None
        with self.catalog.transaction():
            if known["outcome"] != "withdrawn":
                self.catalog.put_withdrawn(model_id, reason, when)
            self._clear_content(known, {"outcome": "withdrawn", "reason": reason})

    def fail(self, model_id: str, reason: str) -> None:
        """Take out what a checkpoint brought; it counts as one that could not be read, and is read again."""
        known = self.catalog.model(model_id)
        assert known is not None
        with self.catalog.transaction():
            self._clear_content(known, {**UNREAD, "outcome": "failed", "reason": reason, "num_params": None})

    def withhold(self, model_id: str) -> None:
        """Take out the weights that a checkpoint keeps; its rows in `models`, `index` and `ledger` stay."""
        known = self.catalog.model(model_id)
        if known is None or known["layers_file"] is None:
            return
        with self.catalog.transaction():
            twins = self._duplicates(known)
            wanted = any(map(self.may_publish_weights, twins)) and self.is_available(known["layers_file"])
            heir = self._transfer(known, twins) if wanted else None
            if heir is not None:
                record = known | {"outcome": "duplicate", "duplicate_of": heir, "layers_file": None}
                self.catalog.update_model(record)
            else:
                for row in (known, *twins):
                    self.catalog.update_model(row | {"layers_file": None, "license_policy": METADATA})

    def may_publish_weights(self, record: Mapping[str, object]) -> bool:
        """Tell whether the weights of a checkpoint may be published."""
        return self.license_policy.decide(record["license"]) == "keep"

    def is_available(self, layers_file: str) -> bool:
        """Tell whether a file of layers lies here or can be fetched from the last version."""
        return (self.dataset / layers_file).is_file() or layers_file in self.catalog.released()

    def transfer_ownership(self, leaving: Row) -> None:
        """Before a keeper's content goes: hand its weights to the next of the checkpoints that share them."""
        if leaving["layers_file"] is not None or leaving.get("license_policy") == METADATA:
            self._transfer(leaving, self._duplicates(leaving))

    def copied_layers(self, record: Mapping[str, object], rows: Sequence[Row], layers_file: str) -> StagedLayers:
        """Write the layers in a file of the dataset once more, as another checkpoint's."""
        if self.fetch_layers_file is not None and not (self.dataset / layers_file).is_file():
            self.fetch_layers_file(layers_file)
        stored = LayersFileReader(self.dataset / layers_file)
        try:
            return copy_layers(str(record["model_id"]), str(record["source"]), rows, stored, self.dataset / TEMPORARY)
        finally:
            stored.close()

    def install_layers(self, staged: StagedLayers) -> None:
        if staged.staged is not None and staged.path is not None and staged.sha256 is not None:
            replace_if_changed(staged.staged, self.dataset / staged.path)
            discard(staged)
            self.catalog.put_layer_file(staged.path, staged.size, staged.sha256)

    def _clear_content(self, known: Row, changes: Row) -> None:
        self.transfer_ownership(known)
        self.catalog.drop_content(known["model_id"])
        self.catalog.put_model(storable(clear_content(known) | changes))

    def _duplicates(self, record: Row) -> list[Row]:
        mark = self.catalog.fingerprint(record["model_id"])
        return [twin for twin in self.catalog.duplicates_of(mark or "") if twin["model_id"] != record["model_id"]]

    def _transfer(self, leaving: Row, duplicates: Sequence[Row]) -> str | None:
        """Make the first in rank the keeper, of those that may be one; return its id."""
        if not duplicates:
            return None
        if leaving["layers_file"] is not None and not self.is_available(leaving["layers_file"]):
            for twin in duplicates:
                self.catalog.drop_content(twin["model_id"])
                self.catalog.put_model(
                    mark_weights_lost(twin, f"its weights were lost with {leaving['model_id']}; it is read again")
                )
            return None
        heir = min(duplicates, key=lambda twin: (not self.may_publish_weights(twin), ownership_key(twin)))
        file = None
        if leaving["layers_file"] is not None and self.may_publish_weights(heir):
            shard = self.copied_layers(heir, self.catalog.layers_of(heir["model_id"]), leaving["layers_file"])
            self.install_layers(shard)
            file, rows = shard.path, shard.rows
        policy = {"license_policy": None if file is not None else METADATA}
        for twin in duplicates:
            is_heir = twin["model_id"] == heir["model_id"]
            changed = {"layers_file": file, "duplicate_of": None} if is_heir else {"duplicate_of": heir["model_id"]}
            record = twin | policy | changed
            became = "emitted" if is_heir else outcome(record)
            self.catalog.update_model(record | {"outcome": "failed" if twin["outcome"] == "failed" else became})
        if file is not None:
            self.catalog.put_content(heir["model_id"], rows, self.catalog.ledger_of(heir["model_id"]))
        return str(heir["model_id"])
