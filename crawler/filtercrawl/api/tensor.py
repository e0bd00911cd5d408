"""A tensor as a checkpoint stores it: name, location in the file, and the facts that the file states about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.convolution import Convolution, Depth, FollowingNorm, Standardization
from filtercrawl.api.range_file import Span
from filtercrawl.api.tensor_location import SliceBounds, TensorLocation


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Affine quantization: a weight is `(code - zero_point) * scale`, in float32.

    Attributes:
        scale: One number for the tensor, or one for each index of `axis`.
        zero_point: One code for the tensor, or one for each index of `axis`.
        axis: The axis of the tensor that `scale` and `zero_point` belong to.
    """

    scale: tuple[float, ...] = (1.0,)
    zero_point: tuple[int, ...] = (0,)
    axis: int = 0


class ComputedWeight(Protocol):
    """A weight that is a function of stored tensors, computed when a part of it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each axis, in the order of the network's operator."""
        ...

    def read_float32(self, box: SliceBounds) -> NDArray[np.float32]:
        """Compute a box with memory in proportion to it.

        Args:
            box: (start, stop) of each axis, in elements.

        Returns:
            float32 of the shape of the box.
        """
        ...

    def spans(self) -> Iterable[Span]:
        """Yield the bytes that computing it reads."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One tensor of a checkpoint.

    Attributes:
        name: Full path of the tensor in the checkpoint, unique within it.
        key: Name in the mapping that holds it, or the path of attributes in a pickled module without wrappers
            (`layer1.0.conv1.weight`).
        root: Keys of the containers above that mapping (`("state_dict",)`).
        layer: The module or graph node it belongs to; None where it follows from `key`.
        shape: Size of each axis, in elements.
        dtype: Name of the stored dtype, as torch calls it where torch has it.
        location: Where its elements are; None where they cannot be read, and `reason` then says why.
        convolution: What the file states about the convolution that uses it; None where it states nothing.
        quantization: How stored codes become weights; None for weights that are stored as such.
        weight: The weight that the network convolves with, where it is computed from this tensor and others: from codes
            and scales, by a transposition, from a slice. None where it is this tensor, with its `quantization`.
        parts: The layers whose weights are computed from this tensor, where there are several: records with the same
            name and each its own `weight`, `convolution` and `bank_index`.
        reason: Why the file shows that this is not a kernel, or cannot be read, a word of
            `filtercrawl.api.vocabulary.REASONS`; None where it does not.
        rule: Short name of the rule by which the reader found the reason, which `filtercrawl inspect` shows; None if it
            has no name.
        notes: Other facts about the weight, one word each, which `filtercrawl inspect` shows.
        depth: Position in the network, from the graph; None where it is unknown.
        weight_kind: How the network obtains its weight, from the graph; None where it is unknown.
        bank: Shape of the kernels of one expert, where the tensor is a bank of experts stacked along its first axis;
            `filtercrawl.extraction.expert_banks.expand_banks` splits it.
        bank_index: Index of the expert in its bank; None for a tensor that comes from no bank.
        layout: Order of the axes in the file, a value of `filtercrawl.api.layout.Layout`, where the file shows that
            this is a kernel and in which order it is stored; `shape` and `location` are then in the order of torch.
            None where name and shape have to tell.
        negated: Whether the weight is the negative of what is stored, as for the imaginary part of a conjugate.
        norm: The batch normalization that alone takes the output of the convolution, from the graph; None where no
            graph shows one.
        bias: Name of the tensor with the bias of the convolution, where a graph states one; None where names have to
            tell, or where there is none.
        standardization: How the network standardizes the weight before it convolves, None where it is not known to.
        eps: Of a running variance, what the network adds to it; None where it is unknown.
        bn_folded: Whether a normalization that followed the convolution is folded into the weight; None where it is
            unknown.
    """

    name: str
    key: str
    root: tuple[str, ...] = ()
    layer: str | None = None
    shape: tuple[int, ...]
    dtype: str
    location: TensorLocation | None
    convolution: Convolution | None = None
    quantization: Quantization | None = None
    weight: ComputedWeight | None = None
    parts: tuple[StoredTensor, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = field(default=())
    depth: Depth | None = None
    weight_kind: str | None = None
    bank: tuple[int, ...] | None = None
    bank_index: int | None = None
    layout: str | None = None
    rule: str | None = None
    negated: bool = False
    norm: FollowingNorm | None = None
    bias: str | None = None
    standardization: Standardization | None = None
    eps: float | None = None
    bn_folded: bool | None = None

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight that the network convolves with."""
        return self.shape if self.weight is None else self.weight.shape

    def weight_spans(self) -> tuple[Span, ...]:
        """Return the bytes that reading the weight reads."""
        if self.weight is not None:
            return tuple(self.weight.spans())
        return () if self.location is None else (self.location.byte_span,)
