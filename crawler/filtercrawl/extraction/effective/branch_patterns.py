"""Names of branches that networks train in parallel and sum, so that they can be merged into one convolution.

One table: a row is a block of a library, with its branches by the names below the module of the block. `*` stands for a
number.

Sources: RepVGG (arXiv 2101.03697), MobileOne (arXiv 2206.04040), FastViT (arXiv 2303.14189), RepLKNet (arXiv
2203.06717), UniRepLKNet (arXiv 2311.15599), ACNet (arXiv 1908.03930), DBB (arXiv 2103.13425), and the code of their
authors, of timm, mmpretrain and Ultralytics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class BranchPattern:
    """Names of one branch, relative to the block.

    Attributes:
        conv: Module of the convolution; empty for the identity.
        norm: Module of the normalization behind it; empty for none.
        first: Modules that may be a pointwise convolution before `conv`, of which the branch has one.
        first_norm: Module of the normalization behind that.
        first_is_residual: Those of `first` whose weight is the difference from the identity.
        pool: Whether the mean over a window of the size of the main kernel follows the convolution.
        gate: Tensor that the branch is multiplied by, one number a channel; with `tensor:row` one row of it.
        logistic: Whether the logistic function of the gate is taken.
        negative: Whether the branch is subtracted.
        dilated: Whether the last number in the name of the convolution is its dilation.
        required: Whether a block without this branch is another one.
    """

    conv: str = ""
    norm: str = ""
    first: tuple[str, ...] = ()
    first_norm: str = ""
    first_is_residual: tuple[str, ...] = ()
    pool: bool = False
    gate: str = ""
    logistic: bool = False
    negative: bool = False
    dilated: bool = False
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class BlockPattern:
    """Names of one block.

    Attributes:
        name: What it is called.
        branches: Its branches; the first one has the main kernel.
        norm: Module of the normalization of the sum, relative to the block or, with `../`, to the module that holds it.
        parent: Regular expression that the last parts of the path of the block match; empty for any.
        beside: Tensors that must be there for the block to be this one.
        depthwise: Whether each channel is convolved alone.
    """

    name: str
    branches: tuple[BranchPattern, ...]
    norm: str = ""
    parent: str = ""
    beside: tuple[str, ...] = ()
    depthwise: bool = False


def _pairs(*names: tuple[str, str], optional: tuple[tuple[str, str], ...] = ()) -> tuple[BranchPattern, ...]:
    """Return branches of a convolution and a normalization each; the optional ones may be identities."""
    needed = tuple(BranchPattern(conv=conv, norm=norm) for conv, norm in names)
    return needed + tuple(BranchPattern(conv=conv, norm=norm, required=False) for conv, norm in optional)


def _mobileone(prefix: str, norm: str) -> tuple[BranchPattern, ...]:
    """Return the branches of GhostNetV3, which are those of MobileOne with a prefix."""
    return _pairs(
        (f"{prefix}_conv.*.conv", f"{prefix}_conv.*.{norm}"),
        optional=((f"{prefix}_scale.conv", f"{prefix}_scale.{norm}"), ("", f"{prefix}_skip")),
    )


_MIXER_GATE: Final = "layer_scale.gamma"
_IDENTITY: Final = BranchPattern()

BLOCKS: Final = (
    BlockPattern(
        name="repvgg",
        branches=_pairs(
            ("rbr_dense.conv", "rbr_dense.bn"), ("rbr_1x1.conv", "rbr_1x1.bn"), optional=(("", "rbr_identity"),)
        ),
    ),
    BlockPattern(
        name="repvgg_yolov7",
        branches=_pairs(("rbr_dense.0", "rbr_dense.1"), ("rbr_1x1.0", "rbr_1x1.1"), optional=(("", "rbr_identity"),)),
    ),
    BlockPattern(
        name="repvgg_mmpretrain",
        branches=_pairs(
            ("branch_3x3.conv", "branch_3x3.norm"),
            ("branch_1x1.conv", "branch_1x1.norm"),
            optional=(("", "branch_norm"),),
        ),
    ),
    BlockPattern(
        name="repvgg_ultralytics",
        parent=r"cv\d+",
        branches=_pairs(("conv1.conv", "conv1.bn"), ("conv2.conv", "conv2.bn"), optional=(("", "bn"),)),
    ),
    BlockPattern(
        name="repvgg_timm",
        branches=_pairs(
            ("conv_kxk.conv", "conv_kxk.bn"), ("conv_1x1.conv", "conv_1x1.bn"), optional=(("", "identity"),)
        ),
    ),
    BlockPattern(
        name="fastvit_mixer",
        branches=(
            BranchPattern(conv="mixer.conv_kxk.*.conv", norm="mixer.conv_kxk.*.bn", gate=_MIXER_GATE),
            BranchPattern(conv="mixer.conv_scale.conv", norm="mixer.conv_scale.bn", gate=_MIXER_GATE),
            BranchPattern(norm="mixer.identity", gate=_MIXER_GATE),
            BranchPattern(norm="norm.identity", gate=_MIXER_GATE, negative=True),
            _IDENTITY,
        ),
    ),
    BlockPattern(
        name="mobileone_timm",
        branches=_pairs(
            ("conv_kxk.*.conv", "conv_kxk.*.bn"), optional=(("conv_scale.conv", "conv_scale.bn"), ("", "identity"))
        ),
    ),
    BlockPattern(
        name="mobileone",
        branches=_pairs(
            ("rbr_conv.*.conv", "rbr_conv.*.bn"), optional=(("rbr_scale.conv", "rbr_scale.bn"), ("", "rbr_skip"))
        ),
    ),
    *(
        BlockPattern(name="ghostnetv3", branches=_mobileone(prefix, "bn1"))
        for prefix in ("primary_rpr", "cheap_rpr", "dw_rpr")
    ),
    BlockPattern(
        name="repghost",
        depthwise=True,
        branches=_pairs(("cheap_operation.0", "cheap_operation.1"), ("", "fusion_bn.0")),
    ),
    BlockPattern(name="lcnetv2", branches=_pairs(("dw_conv_list.*.conv", "dw_conv_list.*.bn")), depthwise=True),
    BlockPattern(
        name="replknet", branches=_pairs(("lkb_origin.conv", "lkb_origin.bn"), ("small_conv.conv", "small_conv.bn"))
    ),
    BlockPattern(
        name="fastvit_large",
        branches=_pairs(("large_conv.conv", "large_conv.bn"), ("small_conv.conv", "small_conv.bn")),
    ),
    BlockPattern(
        name="unireplknet",
        depthwise=True,
        norm="../norm",
        branches=(
            BranchPattern(conv="lk_origin", norm="origin_bn"),
            BranchPattern(conv="dil_conv_k*_*", norm="dil_bn_k*_*", dilated=True),
        ),
    ),
    BlockPattern(
        name="acnet",
        branches=_pairs(("square_conv", "square_bn"), ("ver_conv", "ver_bn"), ("hor_conv", "hor_bn")),
    ),
    BlockPattern(
        name="dbb",
        branches=(
            BranchPattern(conv="dbb_origin.conv", norm="dbb_origin.bn"),
            BranchPattern(conv="dbb_1x1.conv", norm="dbb_1x1.bn", required=False),
            BranchPattern(first=("dbb_avg.conv", ""), first_norm="dbb_avg.bn.bn", norm="dbb_avg.avgbn", pool=True),
            BranchPattern(
                first=("dbb_1x1_kxk.conv1", "dbb_1x1_kxk.idconv1", "dbb_1x1_kxk.idconv1.conv"),
                first_is_residual=("dbb_1x1_kxk.idconv1", "dbb_1x1_kxk.idconv1.conv"),
                first_norm="dbb_1x1_kxk.bn1.bn",
                conv="dbb_1x1_kxk.conv2",
                norm="dbb_1x1_kxk.bn2",
            ),
        ),
    ),
    BlockPattern(
        name="repvit",
        depthwise=True,
        norm="bn",
        branches=(
            BranchPattern(conv="conv.c", norm="conv.bn"),
            BranchPattern(conv="conv1"),
            _IDENTITY,
        ),
    ),
    BlockPattern(
        name="repvit_legacy",
        depthwise=True,
        branches=(
            BranchPattern(conv="conv.c", norm="conv.bn"),
            BranchPattern(conv="conv1.c", norm="conv1.bn"),
            _IDENTITY,
        ),
    ),
    # Networks derived from LeViT call what is added to its input `m`; iFormer's position encoding is one of these.
    BlockPattern(
        name="residual",
        depthwise=True,
        parent=r"m|cpe\.module",
        branches=(BranchPattern(conv="c", norm="bn"), _IDENTITY),
    ),
    BlockPattern(
        name="fastvit_position",
        depthwise=True,
        beside=("pos_enc.bias",),
        branches=(BranchPattern(conv="pos_enc"), _IDENTITY),
    ),
    *(
        BlockPattern(
            name="efficientvim",
            depthwise=True,
            beside=("alpha", "mixer.BCdt_proj.conv.weight"),
            branches=(
                BranchPattern(conv=f"{conv}.conv", norm=f"{conv}.norm", gate=f"alpha:{row}", logistic=True),
                BranchPattern(gate=f"alpha:{row}", logistic=True, negative=True),
                _IDENTITY,
            ),
        )
        for conv, row in (("dwconv1", 0), ("dwconv2", 2))
    ),
    *(
        BlockPattern(
            name="efficientvim_merging",
            depthwise=True,
            beside=("conv.0.conv.weight", "conv.3.conv.weight"),
            branches=(BranchPattern(conv=f"{conv}.conv", norm=f"{conv}.norm"), _IDENTITY),
        )
        for conv in ("dwconv1", "dwconv2")
    ),
)
