"""Patterns of the source `local`."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl_plugins.sources.local.source import LocalPattern


@pytest.mark.parametrize(
    ("text", "path", "label"),
    [
        ("zoo", "zoo", ""),
        (" zoo/nets ", "zoo/nets", ""),
        ("zoo as=lab", "zoo", "lab/"),
        ("a as=b as=lab/nets", "a as=b", "lab/nets/"),
    ],
)
def test_parse(text: str, path: str, label: str) -> None:
    assert LocalPattern.parse(text) == LocalPattern(path=Path(path), label=label)


def test_canonical() -> None:
    assert LocalPattern.parse("zoo/../nets").canonical == str(Path("nets").absolute())
    assert LocalPattern.parse("zoo/../nets/*/a?.pth").canonical == str(Path("nets/*/a?.pth").absolute())
    assert LocalPattern.parse("*.pth").canonical == str(Path("*.pth").absolute())
    assert LocalPattern.parse("nets as=lab").canonical == f"{Path('nets').absolute()} as=lab"


def test_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert LocalPattern.parse("~/nets").path == Path("/home/somebody/nets")


@pytest.mark.parametrize("text", [None, " ", "\0", "nets as=", "nets as=/abs", "nets as=../up", "nets as=a//b"])
def test_invalid(text: str | None) -> None:
    with pytest.raises(UsageError, match=r"^local"):
        LocalPattern.parse(text)
