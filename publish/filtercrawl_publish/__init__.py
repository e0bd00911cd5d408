"""Publish, verify and compare versions of a filtercrawl dataset, on the Hugging Face Hub or in a folder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filtercrawl_publish.api import diff, publish, release, rollback, verify, withdraw
    from filtercrawl_publish.comparison import Difference
    from filtercrawl_publish.publishing import PublishResult, RollbackResult
    from filtercrawl_publish.releasing import ReleaseReport
    from filtercrawl_publish.releasing.withdraw import WithdrawResult
    from filtercrawl_publish.verification import Issue, VerifyReport

__all__ = [
    "Difference",
    "Issue",
    "PublishResult",
    "ReleaseReport",
    "RollbackResult",
    "VerifyReport",
    "WithdrawResult",
    "diff",
    "publish",
    "release",
    "rollback",
    "verify",
    "withdraw",
]

# Imported on first use: pyarrow and the clients take a second, which importing this package must not cost.
_MODULES = {
    "Difference": "comparison",
    "Issue": "verification",
    "PublishResult": "publishing",
    "ReleaseReport": "releasing",
    "RollbackResult": "publishing",
    "VerifyReport": "verification",
    "WithdrawResult": "releasing.withdraw",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
