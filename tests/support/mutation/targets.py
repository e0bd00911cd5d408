"""What is mutated: rules that decide what a run does, what is kept, and what is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Target:
    """Modules, and the tests that should notice a change of them.

    Attributes:
        modules: Paths below the root of the repository.
        tests: Files or folders.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]


def _modules(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names)


TARGETS: Final = {
    "planner": Target(
        modules=_modules("crawler/filtercrawl/pipeline/planning", "plan", "approval", "restricted", "estimate"),
        tests=(
            "tests/unit/pipeline/planning",
            "tests/unit/transport/test_range_planning.py",
            "tests/integration/sync/test_outcomes.py",
            "tests/integration/release/test_restricted.py",
        ),
    ),
    "ranges": Target(
        modules=_modules("crawler/filtercrawl/transport", "range_planning"),
        tests=("tests/unit/transport/test_range_planning.py",),
    ),
    "ledger": Target(
        modules=_modules(
            "crawler/filtercrawl/extraction", "classify", "sibling_evidence", "state_dict_names", "weight_sets"
        ),
        tests=("tests/unit/extraction",),
    ),
    "guards": Target(
        modules=(
            *_modules(
                "publish/filtercrawl_publish/publishing",
                *("version_choice", "withdrawal_guard", "overwrite_guard", "change_filter", "commit_check"),
            ),
            *_modules("publish/filtercrawl_publish/releasing", "loss_guard", "plan_file"),
        ),
        tests=(
            "tests/unit/publish",
            "tests/integration/publish/test_publish.py",
            "tests/integration/publish/test_history.py",
            "tests/integration/release/test_refusals.py",
            "tests/integration/release/test_release.py",
        ),
    ),
    "release": Target(
        modules=(
            *_modules("publish/filtercrawl_publish/releasing", "pipeline", "restore", "withdraw"),
            *_modules("publish/filtercrawl_publish/publishing", "publish", "rollback", "repository_state"),
        ),
        tests=(
            "tests/unit/publish",
            "tests/integration/publish/test_publish.py",
            "tests/integration/publish/test_history.py",
            "tests/integration/release",
        ),
    ),
}
