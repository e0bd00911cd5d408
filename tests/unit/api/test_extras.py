"""Extras, and what is said where one is missing."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.api.extras import EXTRAS, missing_extra, require_extra
from support.paths import REPOSITORY

DECLARED: dict[str, list[str]] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_is_asked_of_it(extra: str) -> None:
    assert tuple(re.split("[<>=]", requirement)[0] for requirement in DECLARED[extra]) == EXTRAS[extra]


def test_all_is_what_users_may_need() -> None:
    (everything,) = DECLARED["all"]
    assert set(re.findall(r"[\w-]+", everything)) - {"filtercrawl"} == DECLARED.keys() - {
        "all", "docs", "fuzz", "samples", "test",
    }  # fmt: skip


def test_what_is_installed_is_not_missing() -> None:
    assert missing_extra("zoos") is None
    require_extra("sync", "zoos")


def test_what_is_missing_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    assert missing_extra("zoos") == "needs timm; pip install 'filtercrawl[zoos]'"
    assert missing_extra("zoos", "torchvision") is None
    with pytest.raises(UsageError, match=r"^sync needs timm; pip install 'filtercrawl\[zoos\]'$"):
        require_extra("sync", "zoos")
