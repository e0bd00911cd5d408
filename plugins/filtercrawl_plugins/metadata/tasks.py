"""What a network was trained to do, in the Hub's vocabulary of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from filtercrawl_plugins.metadata.datasets import is_labelled

# The package below torchvision.models that a model comes from. The Hub has no word for optical flow.
_TORCHVISION: Final[Mapping[str, str | None]] = {
    "detection": "object-detection",
    "segmentation": "image-segmentation",
    "video": "video-classification",
    "optical_flow": None,
    "quantization": "image-classification",
}
_DETECTORS: Final = {"mask_rcnn": "image-segmentation", "keypoint_rcnn": "keypoint-detection"}


def timm_task(num_classes: int | None, datasets: Sequence[str]) -> str | None:
    """Return the task of a timm network: by its head, and by what that was trained on.

    Networks trained on pictures with text end in an embedding, which timm keeps where others have classes.
    """
    if not num_classes:
        return "image-feature-extraction"
    if not datasets:
        return None
    return "image-classification" if is_labelled(datasets[-1]) else "image-feature-extraction"


def torchvision_task(module: str) -> str | None:
    """Return the task of a network from a module such as `torchvision.models.detection.mask_rcnn`."""
    package, _, name = module.removeprefix("torchvision.models.").rpartition(".")
    if not package:
        return "image-classification"
    return _DETECTORS.get(name) or _TORCHVISION.get(package)
