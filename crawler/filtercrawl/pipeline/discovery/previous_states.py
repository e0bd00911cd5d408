"""What the dataset knows of a source's checkpoints, so that the source need not ask again."""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, Mapping

from filtercrawl.api.checkpoint import CheckpointMetadata, PreviousState, TrainingRun
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.schema.model_row import ModelRow


class PreviousStates(Mapping[str, PreviousState]):
    """The state of each checkpoint of one source after the last attempt, also a failed one.

    Keys are the names under which the source last offered them. A state is read from the catalog when it is asked for.

    Args:
        catalog: The catalog.
        source: Name of the source.
    """

    def __init__(self, catalog: Catalog, source: str) -> None:
        self._catalog = catalog
        self._source = source

    def __getitem__(self, name: str) -> PreviousState:
        row = self._catalog.model_offered_as(self._source, name)
        if row is None:
            raise KeyError(name)
        return _previous_state(row)

    def __iter__(self) -> Iterator[str]:
        return iter(self._catalog.names_of_source(self._source))

    def __len__(self) -> int:
        return len(self._catalog.names_of_source(self._source))

    def items(self) -> ItemsView[str, PreviousState]:
        """Return a view that reads all states in one pass."""
        return _Items(self)

    def read_all(self) -> Iterator[tuple[str, PreviousState]]:
        """Yield every name with its state."""
        before = None
        for row in self._catalog.models_of_source(self._source):
            if row.offered_as != before:  # of several, the first is the one that counts
                yield row.offered_as, _previous_state(row)
            before = row.offered_as


class _Items(ItemsView[str, PreviousState]):
    def __init__(self, states: PreviousStates) -> None:
        super().__init__(states)
        self._states = states

    def __iter__(self) -> Iterator[tuple[str, PreviousState]]:
        return self._states.read_all()


def _previous_state(row: ModelRow) -> PreviousState:
    attempted = row.attempted_version
    run = TrainingRun(id=row.run_id, step=row.step, seed=row.seed, final=row.state.run_final)
    return PreviousState(
        revision=attempted.revision,
        etag=attempted.etag,
        outcome=row.outcome,
        reason=row.reason,
        meta=CheckpointMetadata(
            task=row.task,
            visual_category=row.visual_category,
            architecture=row.architecture,
            family=row.family,
            tag=row.tag,
            library=row.library,
            license=row.license,
            license_evidence=row.license_evidence,
            paper=row.paper,
            released=row.released,
            training_datasets=row.training_datasets or (),
            metrics=json.loads(row.metrics or "{}"),
            extra=json.loads(row.extra or "{}"),
        ),
        run=None if run == TrainingRun(id=None) else run,
    )
