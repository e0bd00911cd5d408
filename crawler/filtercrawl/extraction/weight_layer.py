"""The layer of a tensor that is the weight of a convolution."""

from __future__ import annotations

from typing import cast

from filtercrawl.api.convolution import Op
from filtercrawl.api.layout import Layout
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction import state_dict_names
from filtercrawl.extraction.layer import Layer


def layer_from_operator(tensor: StoredTensor, path: str) -> Layer | None:
    """Return the layer of a tensor whose operator the file states; None if the shape contradicts the operator.

    The shape `[in, out/groups, *k]` of transposed convolutions is permuted to `[out, in/groups, *k]`.

    Args:
        tensor: The weight.
        path: Its module by its key, without wrappers.
    """
    convolution = tensor.convolution
    assert convolution is not None
    shape, groups = tensor.weight_shape, convolution.groups
    if len(shape) != int(convolution.op[-2]) + 2:
        return None
    if groups is not None and (groups < 1 or shape[0] % groups):
        return None
    if convolution.transposed and groups is not None:
        shape = (shape[1] * groups, shape[0] // groups, *shape[2:])
    # A pickled module's path has the names of wrappers; a node of a graph has none.
    by_key = tensor.depth is None and tensor.layer == state_dict_names.split_raw_parameter_name(tensor.key)[0]
    return Layer(
        tensor=tensor,
        path=(path if by_key else tensor.layer) or path or state_dict_names.strip_wrapper_prefixes(tensor.key),
        op=convolution.op,
        shape=shape,
        groups=groups,
        operator_verified=groups is not None,
        weight_kind=weight_kind(tensor),
    )


def layer_from_shape(tensor: StoredTensor, path: str) -> Layer:
    """Return the layer of a tensor without an operator: the shape proves the number of dimensions only.

    The order of the axes, where the file shows it, also tells transposed convolutions.

    Args:
        tensor: The weight.
        path: Its module by its key, without wrappers.
    """
    kind = "conv_transpose" if tensor.layout in (Layout.KOI, Layout.IOK) else "conv"
    return Layer(
        tensor=tensor,
        path=path or state_dict_names.strip_wrapper_prefixes(tensor.key),
        op=cast("Op", f"{kind}{len(tensor.weight_shape) - 2}d"),
        shape=tensor.weight_shape,
        groups=None,
        operator_verified=False,
        weight_kind=weight_kind(tensor),
    )


def weight_kind(tensor: StoredTensor) -> str:
    """Return `fixed`, what the graph of the network says, or `learned`.

    What a graph states takes precedence over names.
    """
    unlearned = tensor.convolution is not None and tensor.convolution.learned is False
    if unlearned or state_dict_names.is_fixed_basis(tensor.name, tensor.shape):
        return "fixed"
    return tensor.weight_kind or "learned"
