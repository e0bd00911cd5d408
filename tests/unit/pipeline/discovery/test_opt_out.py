"""Opt-outs: what they match, and the lists that they are read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile, Skipped
from filtercrawl.api.errors import UsageError
from filtercrawl.config import Settings
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.discovery.opt_out import REASON, OptOut, load_opt_out

OFFER = Checkpoint(name="org/net", aliases=("old/net",), files=(RemoteFile(url="https://host.example/org/net.pt"),))


class JsonTransport:
    """Answers every address with the same JSON."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get_json(self, url: str) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("hub:org/net", True),
        ("hub:org/*", True),
        ("hub:old/net", True),
        ("https://host.example/*", True),
        ("timm:org/net", False),
        ("hub:org", False),
        ("hub:ORG/*", False),
    ],
)
def test_patterns(pattern: str, matches: bool) -> None:
    rules = OptOut((pattern,))
    expected = Skipped(name="org/net", reason=REASON) if matches else OFFER
    assert rules.skip_excluded("hub", OFFER) == expected
    row = ModelRow(
        model_id="hub/org/net", source="hub", name=OFFER.name, aliases=OFFER.aliases, outcome="emitted",
        url=OFFER.files[0].url,
    )  # fmt: skip
    assert rules.matches(row) is matches


def test_a_row_without_aliases_and_url_is_matched_by_its_name() -> None:
    row = ModelRow(model_id="local/net.pt", source="local", name="net.pt", outcome="emitted")
    assert OptOut(("local:net.*",)).matches(row)
    assert not OptOut(("https://*",)).matches(row)


def test_what_a_source_skips_is_named_by_its_name_alone() -> None:
    skipped = Skipped(name="org/net", reason="gated", revision="r1")
    assert OptOut(("hub:org/*",)).skip_excluded("hub", skipped) == Skipped(name="org/net", reason=REASON)
    assert OptOut().skip_excluded("hub", skipped) is skipped


def test_lists_come_from_settings_files_and_addresses(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("hub:a/*  # asked for by mail\n\n# nothing\nhub:b/c\n")
    settings = Settings(opt_out=("timm:x",), opt_out_from=(str(tmp_path / "list.txt"), "https://host.example/list"))
    found = load_opt_out(settings, JsonTransport(["hub:d/*"]))  # type: ignore[arg-type]
    assert found.patterns == ("timm:x", "hub:a/*", "hub:b/c", "hub:d/*")


@pytest.mark.parametrize("answer", [{"a": 1}, "hub:a/*", ["hub:a/*", 3]])
def test_an_address_that_gives_no_list_of_texts_is_refused(answer: Any) -> None:
    settings = Settings(opt_out_from=("https://host.example/list",))
    with pytest.raises(UsageError, match=r"https://host\.example/list"):
        load_opt_out(settings, JsonTransport(answer))  # type: ignore[arg-type]


def test_a_missing_list_and_a_pattern_without_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.txt"):
        load_opt_out(Settings(opt_out_from=(str(tmp_path / "missing.txt"),)), JsonTransport([]))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'resnet"):
        load_opt_out(Settings(opt_out=("resnet*",)), JsonTransport([]))  # type: ignore[arg-type]
