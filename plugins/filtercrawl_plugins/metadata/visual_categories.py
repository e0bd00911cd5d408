"""What the pictures of a dataset show: the visual categories of CNN Filter DB, by dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from filtercrawl.api.checkpoint import VisualCategory
from filtercrawl.api.hookspecs import hookimpl

# Photographs of the world. Collections of pictures with text from the whole web (laion, webli, ...) hold drawings,
# pages and maps as well, rendered films are no photographs: both have no category here.
_NATURAL: Final = (
    *("imagenet-1k", "imagenet-12k", "imagenet-21k", "imagenet-21k-winter", "imagenet-22k", "bamboo"),
    *("instagram-1b", "instagram-3.6b", "jft-300m", "yfcc-15m", "yfcc-100m", "lvd-142m", "lvd-1689m", "sa-1b"),
    *("coco", "refcoco", "pascal-voc", "kinetics-400", "kitti", "cityscapes", "bsds300"),
)
_OTHERS: Final = {
    "mnist": "handwriting",
    "ms1m": "faces",
    "wider-face": "faces",
    "ferplus": "faces",
}

CATEGORIES: Final[Mapping[str, str]] = {**dict.fromkeys(_NATURAL, "natural"), **_OTHERS}


@hookimpl
def filtercrawl_visual_categories() -> Iterator[VisualCategory]:
    for dataset, category in CATEGORIES.items():
        yield VisualCategory(dataset=dataset, category=category)


def visual_category(datasets: Sequence[str], more: Mapping[str, str] | None = None) -> str | None:
    """Return the category of the dataset that training ended with, None where it is not known.

    more: dataset -> category, the user's own table; it counts before the one here.
    """
    return {**CATEGORIES, **(more or {})}.get(datasets[-1]) if datasets else None
