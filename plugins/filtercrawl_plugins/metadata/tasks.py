"""Task of a network, in the vocabulary of the Hub (https://huggingface.co/tasks)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from filtercrawl_plugins.metadata.datasets import is_labelled

# Tasks by package below torchvision.models. The Hub has no task for optical flow.
_TASK_BY_PACKAGE: Final[Mapping[str, str | None]] = {
    "detection": "object-detection",
    "segmentation": "image-segmentation",
    "video": "video-classification",
    "optical_flow": None,
    "quantization": "image-classification",
}
# Modules of torchvision.models.detection with another task.
_TASK_BY_MODULE: Final = {"mask_rcnn": "image-segmentation", "keypoint_rcnn": "keypoint-detection"}


def timm_task(num_classes: int | None, datasets: Sequence[str]) -> str | None:
    """Return the task of a timm network.

    Networks that were trained on image-text pairs end in an embedding, whose size timm states as `num_classes`: so the
    last dataset decides whether a head classifies.

    Args:
        num_classes: Number of classes in timm's configuration; None or 0 if there is no head.
        datasets: Training datasets, the last one last.

    Returns:
        None if it has a head and the datasets are unknown.
    """
    if not num_classes:
        return "image-feature-extraction"
    if not datasets:
        return None
    return "image-classification" if is_labelled(datasets[-1]) else "image-feature-extraction"


def torchvision_task(module: str) -> str | None:
    """Return the task of a network by its module, such as `torchvision.models.detection.mask_rcnn`; None if unknown."""
    package, _, name = module.removeprefix("torchvision.models.").rpartition(".")
    if not package:
        return "image-classification"
    return _TASK_BY_MODULE.get(name) or _TASK_BY_PACKAGE.get(package)
