"""Training datasets of a network, in order of training, from the tag or name of its weights."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Final

# Datasets by the words of timm's tags. ImageNet-21k and -22k are two counts of one collection; each keeps its name.
_TIMM: Final = {
    "in1k": "imagenet-1k",
    "in12k": "imagenet-12k",
    "in21k": "imagenet-21k",
    "in22k": "imagenet-22k",
    "inw21k": "imagenet-21k-winter",
    # Self-supervised methods: the tag names the method, and all of its published weights are from one dataset.
    "mae": "imagenet-1k",
    "fcmae": "imagenet-1k",
    "dino": "imagenet-1k",
    # Only EVA's tags name CLIP without its data; their model cards state LAION-400M.
    "clip_ft": "laion-400m",
    # The tag names only the last of two stages; the first was ImageNet-22k.
    "ssld_stage2_ft": "imagenet-22k",
    "jft": "jft-300m",
    "ig1b": "instagram-1b",
    "seer": "instagram-1b",
    "swag": "instagram-3.6b",
    "yfcc100m": "yfcc-100m",
    "yfcc15m": "yfcc-15m",
    "cc12m": "cc-12m",
    "bamboo": "bamboo",
    "openai": "wit-400m",
    "laion400m": "laion-400m",
    "laion2b": "laion-2b",
    "laiona": "laion-aesthetic",
    "datacomp1b": "datacomp-1b",
    "datacompxl": "datacomp-1b",
    "dfn2b": "dfn-2b",
    "dfn5b": "dfn-5b",
    "mclip": "datacompdr-1b",
    "dfndr2b": "dfndr-2b",
    "metaclip_400m": "metaclip-400m",
    "metaclip_2pt5b": "metaclip-2.5b",
    "metaclip_altogether": "metaclip-altogether",
    "metaclip2_worldwide": "metaclip2-worldwide",
    "merged2b": "merged-2b",
    "m30m": "merged-30m",
    "m38m": "merged-38m",
    "webli": "webli",
    "lvd142m": "lvd-142m",
    "lvd1689m": "lvd-1689m",
    "sat493m": "sat-493m",
    "sa1b": "sa-1b",
    "docci": "docci",
    "ocrvqa": "ocr-vqa",
    "refcoco": "refcoco",
    "inat21": "inaturalist-2021",
}

_FLOW_PRETRAINING: Final = ("flying-chairs", "flying-things-3d")
# What torchvision calls fine-tuning on Sintel, in the order in which it lists the parts.
_FLOW_MIXTURE: Final = ("sintel", "kitti", "hd1k", "flying-things-3d")

# Datasets by the names of torchvision's weights without the version.
_TORCHVISION: Final = {
    "IMAGENET1K": ("imagenet-1k",),
    "IMAGENET1K_FBGEMM": ("imagenet-1k",),
    "IMAGENET1K_QNNPACK": ("imagenet-1k",),
    "IMAGENET1K_FEATURES": ("imagenet-1k",),
    "IMAGENET1K_SWAG_E2E": ("instagram-3.6b", "imagenet-1k"),
    "IMAGENET1K_SWAG_LINEAR": ("instagram-3.6b", "imagenet-1k"),
    "COCO": ("coco",),
    "COCO_LEGACY": ("coco",),
    "COCO_WITH_VOC_LABELS": ("coco",),
    "KINETICS400": ("kinetics-400",),
    "KINETICS400_IMAGENET22K": ("imagenet-22k", "kinetics-400"),
    "C_T": _FLOW_PRETRAINING,
    "C_T_SKHT": (*_FLOW_PRETRAINING, *_FLOW_MIXTURE),
    "C_T_SKHT_K": (*_FLOW_PRETRAINING, *_FLOW_MIXTURE, "kitti"),
}

# Recipes whose training starts from a backbone with ImageNet weights, `--weights-backbone` in the README that
# torchvision's metadata names as the recipe of the weights. SSDlite and the recipes in pull requests state none.
_IMAGENET_BACKBONE_RECIPES: Final = re.compile(
    r"https://github\.com/pytorch/vision/tree/main/references/"
    r"(segmentation#\w+|detection#(faster-r-cnn-[\w-]+|fcos-resnet-50-fpn|retinanet|ssd300-vgg16|mask-r-cnn|keypoint-r-cnn))"
)

# Image datasets with class labels: a head that was trained on one of them is a classifier.
_LABELED: Final = frozenset(
    {"bamboo", "inaturalist-2021", *(name for name in _TIMM.values() if name.startswith("imagenet-"))}
)

# Words of a tag are separated by underscores; longer words first, because some contain others.
_WORDS: Final = re.compile(r"(?<![^_])(?:" + "|".join(sorted(_TIMM, key=len, reverse=True)) + r")(?![^_])")
_VERSION: Final = re.compile(r"_V\d+$")


def timm_datasets(tag: str) -> tuple[str, ...]:
    """Return the datasets that a timm tag names, in order of training.

    `fb_in22k_ft_in1k` gives (imagenet-22k, imagenet-1k). Consecutive stages on one dataset are one.

    Returns:
        () if the tag names no known dataset.
    """
    return tuple(name for name, _ in groupby(_TIMM[word] for word in _WORDS.findall(tag)))


def torchvision_datasets(weights: str, recipe: str | None = None) -> tuple[str, ...]:
    """Return the datasets of weights such as `IMAGENET1K_V2`, in order of training; () if unknown.

    Args:
        weights: Name of the weights.
        recipe: URL of the training recipe in their metadata. It tells whether the backbone was trained on ImageNet.
    """
    datasets = _TORCHVISION.get(_VERSION.sub("", weights), ())
    if datasets == ("coco",) and recipe is not None and _IMAGENET_BACKBONE_RECIPES.fullmatch(recipe):
        return ("imagenet-1k", *datasets)
    return datasets


def is_labelled(dataset: str) -> bool:
    """Return whether a dataset consists of images with class labels."""
    return dataset in _LABELED
