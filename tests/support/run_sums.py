"""What holds for every row of `runs`: parts add up to totals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from filtercrawl.dataset.schema.run_row import RUN_STAGES, WORK_STAGES, RunRow


def check_sums(row: RunRow) -> None:
    """Check that the parts of a run add up."""
    stages = [getattr(row, f"seconds_{name}") or 0.0 for name in RUN_STAGES]
    assert sum(stages) == pytest.approx(row.seconds, abs=1e-5)
    assert all(getattr(row, f"work_seconds_{name}") >= 0 for name in WORK_STAGES)
    sources: list[dict[str, Any]] = list(json.loads(row.sources or "{}").values())
    for word in ("new", "changed", "retry", "renamed", "duplicate", "failed", "removed"):
        assert sum(source[word] for source in sources) == getattr(row, word), word
    assert sum(source["bytes"] for source in sources) == row.bytes_fetched
    assert sum(source["bytes_offered"] for source in sources) == row.bytes_offered
    assert sum(source["requests"] for source in sources) == row.checkpoint_requests <= row.requests
    assert row.retries <= row.requests
    assert row.new_failures <= row.failed
