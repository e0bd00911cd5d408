"""A listing that takes long says how far it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.api.progress import NullProgress
from filtercrawl.pipeline.discovery import listing_progress
from filtercrawl.pipeline.discovery.discover import Discovery
from filtercrawl.pipeline.discovery.listing_progress import ListingProgress
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.transport import network
from support.plugins import checkpoint, declared, source


class Lines(NullProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, line: str) -> None:
        self.lines.append(line)


def test_lines_come_at_most_every_interval() -> None:
    often, seldom = Lines(), Lines()
    for lines, interval in ((often, 0.0), (seldom, 60.0)):
        listed = ListingProgress(lines, "acme", interval)
        for number in (1, 2000):
            listed.update("found so far", number)
    assert often.lines == ["listing acme: 1 found so far", "listing acme: 2,000 found so far"]
    assert seldom.lines == []


def test_a_slow_source_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 11))
    monkeypatch.setattr(listing_progress.time, "monotonic", lambda: float(next(clock)))

    def offers() -> Iterator[object]:
        for number in range(2):
            yield checkpoint(f"{number}.safetensors", f"https://acme.example/{number}.safetensors")

    plugins = load_plugins([*declared(), source(monkeypatch, "acme", offers)])
    lines = Lines()
    discovery = Discovery(plugins=plugins, transport=network(), progress=lines)
    discovery.list_all([Selector.parse("acme", plugins)])
    assert lines.lines[0] == "listing acme: 1 found so far"
