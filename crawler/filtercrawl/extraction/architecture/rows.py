"""The layers of an architecture without weights, as rows."""

from __future__ import annotations

import math
from typing import Any

from filtercrawl.api.convolution import Convolution
from filtercrawl.extraction.architecture.facts import Structure, TensorFacts
from filtercrawl.extraction.downsampling import is_downsampling, is_patchify


def structure_rows(structure: Structure) -> list[dict[str, Any]]:
    """Return one row a layer in the order of the state dict, with the column names of `index`; experts of a bank
    each.
    """
    rows: list[dict[str, Any]] = []
    for name, facts, convolution in structure.convolutions():
        row = _row(name, facts, convolution)
        rows.extend({**row, "bank_index": i} for i in (range(facts.shape[0]) if facts.bank else (None,)))
    return rows


def _row(name: str, facts: TensorFacts, convolution: Convolution) -> dict[str, Any]:
    shape, groups, depth = facts.bank or facts.shape, convolution.groups or 1, facts.depth
    if convolution.transposed:
        shape = (shape[1] * groups, shape[0] // groups, *shape[2:])
    place = depth.place if depth else None
    patchify = is_patchify(convolution.op, shape[2:], convolution.stride, depth.is_first if depth else None)
    return {
        "layer": facts.layer,
        "tensor": name,
        "op": convolution.op,
        "kernel": "x".join(map(str, shape[2:])),
        "kernel_size": list(shape[2:]),
        "taps": math.prod(shape[2:]),
        "shape": list(shape),
        "out_channels": shape[0],
        "in_channels": shape[1] * groups,
        "groups": groups,
        "depthwise": groups > 1 and shape[1] == 1,
        "bank_index": None,
        "n_kernels": shape[0] * shape[1],
        "stride": _listed(convolution.stride),
        "padding": _listed(convolution.padding),
        "dilation": _listed(convolution.dilation),
        "conv_depth": depth and depth.conv_depth,
        "conv_depth_norm": depth and depth.conv_depth_norm,
        "n_conv_ancestors": depth and depth.n_conv_ancestors,
        "n_calls": convolution.n_calls,
        "is_first": depth and depth.is_first,
        "is_last": depth and depth.is_last,
        "is_patchify": patchify,
        "is_stem": place and place.is_stem,
        "is_last_spatial": place and place.is_last_spatial,
        "is_downsampling": is_downsampling(convolution.op, convolution.stride, patchify),
        "depth_decile": depth and depth.decile,
        "weight_kind": facts.weight_kind,
        "structure_source": convolution.source,
        "operator_verified": True,
    }


def _listed(numbers: tuple[int, ...] | None) -> list[int] | None:
    return None if numbers is None else list(numbers)
