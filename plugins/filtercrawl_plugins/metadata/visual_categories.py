"""Visual category of a dataset's images, in the vocabulary of CNN Filter DB (arXiv 2203.15331)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from filtercrawl.api.checkpoint import VisualCategory
from filtercrawl.api.hookspecs import hookimpl

# Photographs. Image-text collections from the web (laion, webli, ...) also contain drawings, documents and maps, and
# rendered films are not photographs: neither has a category here.
_NATURAL: Final = (
    *("imagenet-1k", "imagenet-12k", "imagenet-21k", "imagenet-21k-winter", "imagenet-22k", "bamboo"),
    *("instagram-1b", "instagram-3.6b", "jft-300m", "yfcc-15m", "yfcc-100m", "lvd-142m", "lvd-1689m", "sa-1b"),
    *("coco", "refcoco", "pascal-voc", "kinetics-400", "kitti", "hd1k", "cityscapes", "bsds300"),
    *("inaturalist-2021", "ilsvrc2013-detection", "cifar10", "cifar100"),
)
_OTHERS: Final = {
    "mnist": "handwriting",
    "ms1m": "faces",
    "wider-face": "faces",
    "ferplus": "faces",
}

# The same datasets by the names of their repositories on the Hub, as model cards state them.
_HUB_REPOS: Final = {
    "ILSVRC/imagenet-1k": "natural",
    "timm/imagenet-1k-wds": "natural",
    "timm/imagenet-12k-wds": "natural",
    "timm/imagenet-22k-wds": "natural",
    "detection-datasets/coco": "natural",
    "uoft-cs/cifar10": "natural",
    "uoft-cs/cifar100": "natural",
    "ylecun/mnist": "handwriting",
}

CATEGORIES: Final[Mapping[str, str]] = {**dict.fromkeys(_NATURAL, "natural"), **_OTHERS, **_HUB_REPOS}


@hookimpl
def filtercrawl_visual_categories() -> Iterator[VisualCategory]:
    """Yield the category of every dataset in the table."""
    for dataset, category in CATEGORIES.items():
        yield VisualCategory(dataset=dataset, category=category)


def visual_category(datasets: Sequence[str], overrides: Mapping[str, str] | None = None) -> str | None:
    """Return the visual category of the dataset that training ended with.

    Args:
        datasets: Training datasets, the last one last.
        overrides: Category by dataset, from the user's settings; takes precedence over the table.

    Returns:
        None if there is no dataset, or its category is unknown.
    """
    return {**CATEGORIES, **(overrides or {})}.get(datasets[-1]) if datasets else None
