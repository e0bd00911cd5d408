"""Selectors as they are typed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from filtercrawl.api.checkpoint import Offer
from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.api.source import Query
from filtercrawl.api.transport import Transport
from filtercrawl.pipeline.discovery.selector import Selector, default_selectors
from support.plugins import declared, entry


def test_a_source_alone_or_with_a_pattern(plugins: Plugins) -> None:
    assert Selector.parse("timm", plugins) == Selector("timm")
    assert Selector.parse("timm:resnet*", plugins) == Selector("timm", "resnet*")


@pytest.mark.parametrize("text", ["timm", "timm:resnet*", "hub:org/name"])
def test_a_selector_is_written_as_it_was_typed(text: str, plugins: Plugins) -> None:
    assert str(Selector.parse(text, plugins)) == text


def test_an_unknown_source_is_named_with_those_that_are_installed(plugins: Plugins) -> None:
    with pytest.raises(UsageError, match=r"no source is named 'tim'; installed are .*timm"):
        Selector.parse("tim:resnet*", plugins)


def test_two_spellings_of_a_path_are_one_selector(plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    typed = Selector.parse(f"local:{tmp_path}/./zoo/", plugins)
    assert typed == Selector.parse(f"local:{tmp_path}/zoo", plugins)
    assert typed.on_this_machine


def test_ids_differ_and_are_stable() -> None:
    assert Selector("timm").id == Selector("timm").id
    assert len({Selector("timm").id, Selector("timm", "").id, Selector("timm", "a*").id}) == 3
    assert len(Selector("timm").id) == 16


def test_only_an_absolute_path_is_of_this_machine() -> None:
    assert not Selector("timm").on_this_machine
    assert not Selector("hub", "org/repo").on_this_machine
    assert Selector("local", "/srv/zoo").on_this_machine


class NotInstalled:
    """A source whose library is missing."""

    name = "acme"
    unavailable = "needs acme; pip install acme"

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:
        raise AssertionError


def test_a_source_that_cannot_be_used_here_is_no_default_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    added = entry(monkeypatch, "acme", filtercrawl_sources=lambda: iter([NotInstalled()]))
    plugins = load_plugins([*declared(), added])
    assert default_selectors(plugins) == ["onnx", "packages", "timm", "torchvision"]
    with pytest.raises(UsageError, match=r"^acme:x: the source acme needs acme; pip install acme$"):
        Selector.parse("acme:x", plugins)
