"""Patterns of the source `hub`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl_plugins.sources.hub.pattern import HubPattern


def test_one_repository() -> None:
    pattern = HubPattern.parse(" timm/resnet18.a1_in1k ")
    assert (pattern.text, pattern.repo, pattern.path) == ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k", None)
    assert pattern.matches_path("any/file.pt")


def test_a_path_in_a_repository() -> None:
    folder = HubPattern.parse("org/net/unet/")
    assert (folder.repo, folder.path) == ("org/net", "unet")
    assert folder.matches_path("unet/model.safetensors")
    assert not folder.matches_path("unet2/model.safetensors")
    assert HubPattern.parse("org/net/*.onnx").matches_path("model.onnx")


def test_the_repositories_of_an_owner() -> None:
    pattern = HubPattern.parse("timm/resnet*")
    assert (pattern.repo, pattern.names, pattern.list_arguments()["author"]) == (None, "resnet*", "timm")
    assert pattern.matches_repo("timm/resnet18")
    assert not pattern.matches_repo("timm/vit")


def test_filters_are_sorted() -> None:
    pattern = HubPattern.parse("task=image-segmentation, license=MIT,min_size=1k,max_size=1.5M,since=2024-01-31")
    assert pattern.text == "license=MIT,max_size=1.5M,min_size=1k,since=2024-01-31,task=image-segmentation"
    assert HubPattern.parse(pattern.text) == pattern
    assert pattern.sizes == (1024, 1_572_864)
    assert pattern.since == datetime(2024, 1, 31, tzinfo=UTC)
    arguments = pattern.list_arguments()
    assert (arguments["filter"], arguments["pipeline_tag"]) == (["license:mit"], "image-segmentation")
    assert arguments["sort"] == "last_modified"


def test_sizes() -> None:
    pattern = HubPattern.parse("author=org,min_size=10,max_size=20")
    assert [pattern.size_exclusion_reason(size) for size in (10, 20)] == [None, None]
    for size in (9, 21):
        reason = pattern.size_exclusion_reason(size)
        assert reason == f"of {size} bytes{pattern.size_bounds_suffix}"


@pytest.mark.parametrize(
    "text",
    [None, "", "timm", "*/net", "org/a b", "org/net*/path", "colour=red", "task=", "task=a,task=b", "since=soon"],
)
def test_invalid_patterns(text: str | None) -> None:
    with pytest.raises(UsageError, match=r"^hub: "):
        HubPattern.parse(text)
