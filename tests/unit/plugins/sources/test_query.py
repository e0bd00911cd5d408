"""Patterns and settings of a query."""

from __future__ import annotations

from typing import Any

import pytest

from filtercrawl.api import Query
from filtercrawl.api.errors import UsageError
from filtercrawl_plugins.sources.shared.query import (
    match_names,
    read_flag,
    read_url,
    read_visual_categories,
)

NAMES = ("resnet18.a1_in1k", "resnet18.tv_in1k", "resnet18d.ra2_in1k", "vit_tiny")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (None, set(NAMES)),
        (" ", set(NAMES)),
        ("resnet18", {"resnet18.a1_in1k", "resnet18.tv_in1k"}),
        ("resnet18*", set(NAMES[:3])),
        ("resnet18.a1_in1k", {"resnet18.a1_in1k"}),
        ("vit_????", {"vit_tiny"}),
        ("vit_tiny", {"vit_tiny"}),
    ],
)
def test_match_names(pattern: str | None, expected: set[str]) -> None:
    assert match_names("timm", Query(pattern=pattern), NAMES, separator=".") == expected


def test_without_separator_a_pattern_matches_whole_names() -> None:
    with pytest.raises(UsageError, match=r"^timm: no name matches 'resnet18'; try timm:\*PART\*"):
        match_names("timm", Query(pattern="resnet18"), NAMES)


def query(**settings: Any) -> Query:
    return Query(settings=settings)


def test_flags() -> None:
    assert read_flag("timm", query(gated=True), "gated")
    assert not read_flag("timm", query(), "gated")
    with pytest.raises(UsageError, match=r"\[sources\.timm\] gated: 1 is not true or false"):
        read_flag("timm", query(gated=1), "gated")


def test_urls() -> None:
    assert read_url("hub", query(endpoint="https://hub.example"), "endpoint") == "https://hub.example"
    assert read_url("hub", query(), "endpoint") is None
    for invalid in (3, "", "hub.example", "ftp://hub.example", "https:", "http://["):
        with pytest.raises(UsageError, match=r"^\[sources\.hub\] endpoint: .* is not an http or https URL$"):
            read_url("hub", query(endpoint=invalid), "endpoint")


def test_visual_categories() -> None:
    assert read_visual_categories("timm", query(visual_category={"mri": "med_mri"})) == {"mri": "med_mri"}
    assert read_visual_categories("timm", query()) == {}
    for invalid in ("natural", {"mri": 3}):
        with pytest.raises(UsageError, match="visual_category"):
            read_visual_categories("timm", query(visual_category=invalid))
