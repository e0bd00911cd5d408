"""Family of an architecture: resnet, efficientnet, convnext, vit, ..."""

from __future__ import annotations

import re
from typing import Final

# Families by the start of an architecture's name, for modules that define several families; the first match counts.
_BY_NAME: Final = (
    ("mnasnet", r"(semnasnet|mnasnet|spnasnet)"),
    ("mobilenet", r"(tf_)?mobilenet(v[1-5]|_edgetpu)?(_|$)"),
    ("fbnet", r"fbnet"),
    ("mixnet", r"(tf_)?mixnet"),
    ("tinynet", r"tinynet"),
    ("lcnet", r"lcnet"),
    ("efficientnet", r"(tf_|test_|gc_)?efficientnet"),
    ("repvgg", r"repvgg"),
    ("mobileone", r"mobileone"),
    ("gernet", r"gernet"),
    ("darknet", r"(cs3)?(se)?(sk2)?darknet|cs3"),
    ("maxvit", r"maxvit|maxxvit"),
    ("coatnet", r"coatnet|coatnext"),
    ("poolformer", r"poolformer"),
    ("caformer", r"caformer"),
    ("convformer", r"convformer"),
    ("deit", r"deit"),
    ("mixer", r"mixer|gmixer"),
    ("gmlp", r"gmlp"),
    ("resmlp", r"resmlp"),
    ("botnet", r"(eca_|seb)?botnet"),
    ("halonet", r"(eca_|se)?halo"),
    ("lambdanet", r"lambda_"),
    ("regnet", r"regnet"),
    ("resnet", r"(bat_|eca_?|gc|se|wide_)?resne(x)?t(\d|aa)"),
    ("vit", r"vit_"),
)
_COMPILED: Final = tuple((family, re.compile(pattern)) for family, pattern in _BY_NAME)

# Families of modules that are not named after their family.
_BY_MODULE: Final = {
    "vision_transformer": "vit",
    "vision_transformer_hybrid": "vit",
    "vision_transformer_relpos": "vit",
    "vision_transformer_sam": "vit",
    "naflexvit": "vit",
    "swin_transformer": "swin",
    "swin_transformer_v2": "swin",
    "swin_transformer_v2_cr": "swin",
    "resnetv2": "resnet",
    "hieradet_sam2": "hiera",
    "xception_aligned": "xception",
    "inception_v3": "inception",
    "inception_v4": "inception",
    "inception_resnet_v2": "inception",
    "googlenet": "inception",
    "mvitv2": "mvit",
    "lcnetv2": "lcnet",
    "shufflenetv2": "shufflenet",
    "faster_rcnn": "rcnn",
    "mask_rcnn": "rcnn",
    "keypoint_rcnn": "rcnn",
    "ssdlite": "ssd",
}


def family(architecture: str, module: str) -> str:
    """Return the family of an architecture.

    Args:
        architecture: Name in its library, such as `tf_efficientnet_b0`.
        module: Last part of the module that defines it, such as `efficientnet`; the family if no table has another.
    """
    by_name = next((name for name, pattern in _COMPILED if pattern.match(architecture)), None)
    return by_name or _BY_MODULE.get(module, module)
