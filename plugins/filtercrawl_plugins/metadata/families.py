"""Family of an architecture: resnet, efficientnet, convnext, vit, ..."""

from __future__ import annotations

import re
from importlib.util import find_spec
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
    # CS3 networks are cross stage partial networks: they keep the family of their module, `cspnet`.
    ("darknet", r"(se)?(sk2)?darknet"),
    ("maxvit", r"(test_)?(maxvit|maxxvit)"),
    ("coatnet", r"(test_)?(coatnet|coatnext)"),
    ("poolformer", r"poolformer"),
    ("caformer", r"caformer"),
    ("convformer", r"convformer"),
    ("deit", r"deit"),
    ("mixer", r"mixer|gmixer"),
    ("gmlp", r"gmlp"),
    ("resmlp", r"resmlp"),
    # Networks that combine two kinds of attention (`halo2botnet`, `lamhalobotnet`) belong to neither.
    ("botnet", r"(eca_|se)?botne[tx]"),
    ("halonet", r"(eca_|se)?halo(ne[tx]|regnet)"),
    ("lambdanet", r"lambda_"),
    ("regnet", r"regnet"),
    ("resnet", r"(legacy_)?(bat_|eca_?|gc|se|wide_)?resne(x)?t(\d|aa)"),
    ("senet", r"(legacy_)?senet\d"),
    ("eva", r"eva(02)?_"),
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


def timm_family(architecture: str) -> str | None:
    """Return the family of an architecture by the module in which timm registers it.

    Returns:
        None if timm is not installed, or does not have the architecture.
    """
    if find_spec("timm") is None:
        return None
    from timm.models import is_model, model_entrypoint

    # timm takes the part before a dot or a colon for the name.
    if not re.fullmatch(r"\w+", architecture) or not is_model(architecture):
        return None
    return family(architecture, model_entrypoint(architecture).__module__.rpartition(".")[2])


def family(architecture: str, module: str) -> str:
    """Return the family of an architecture.

    Args:
        architecture: Name in its library, such as `tf_efficientnet_b0`.
        module: Last part of the module that defines it, such as `efficientnet`; the family if no table has another.
    """
    by_name = next((name for name, pattern in _COMPILED if pattern.match(architecture)), None)
    return by_name or _BY_MODULE.get(module, module)
