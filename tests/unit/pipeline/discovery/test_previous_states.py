"""What a source is told of its checkpoints."""

from __future__ import annotations

from pathlib import Path

from filtercrawl.api.checkpoint import TrainingRun
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.schema.crawl_state import AttemptedVersion, CrawlState
from filtercrawl.pipeline.discovery.previous_states import PreviousStates
from support.stored_checkpoints import model_row


def test_states_are_found_by_the_name_of_the_last_offer(tmp_path: Path) -> None:
    tried = CrawlState(tried=AttemptedVersion(revision="r2", etag="e2"), run_final=True)
    with Catalog(tmp_path) as catalog:
        catalog.put_model(model_row("a", state=tried, run_id="run", step=1, extra='{"x": 1}', outcome="failed"))
        catalog.put_model(model_row("b", state=CrawlState(offered_as="c")))
        catalog.put_model(model_row("c", license="MIT"))
        states = PreviousStates(catalog, "lab")
        assert (list(states), len(states)) == (["a", "c"], 2)
        assert dict(states.items()) == {name: states[name] for name in states}
        assert states.get("b") is None
        assert states["c"].meta.license == "MIT"  # of two, the one whose id it is
        state = states["a"]
        assert (state.revision, state.etag, state.outcome, state.meta.extra) == ("r2", "e2", "failed", {"x": 1})
        assert state.run == TrainingRun(id="run", step=1, final=True)
        assert states["c"].run is None
        assert len(PreviousStates(catalog, "other")) == 0
