"""Tensors that compute how the kernels of a bank are mixed, or that are banks of an unknown shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.sibling_evidence import shape_evidence
from filtercrawl.extraction.siblings import ModuleIndex
from filtercrawl.extraction.state_dict_names import is_weight_name, parameter_name, split_raw_parameter_name

# The module that weights the experts of the conditional convolutions beside it (CondConv).
_ROUTING: Final = re.compile(r"(^|\.)routing(_fn)?$")


def bank_generators(tensors: Sequence[StoredTensor], modules: ModuleIndex) -> Mapping[str, str]:
    """Return the reason of each tensor that a bank of kernels explains, by name.

    What lies below a module that holds a bank is `kernel_generator`. Conditional convolutions store `[n, numbers of a
    kernel]` beside a module `routing_fn` with n outputs: the shape of their kernels is unknown.

    Args:
        tensors: All tensors of a checkpoint.
        modules: The same by module.
    """
    found = dict(_conditional(tensors))
    for tensor in tensors:
        if len(tensor.shape) not in (4, 5) or tensor.convolution is not None or tensor.reason is not None:
            continue
        if not is_weight_name(parameter_name(tensor.key)):
            continue
        siblings = modules.siblings(tensor)
        if len(tensor.shape) == 4 and ("bias" not in siblings or len(siblings["bias"].shape) != 2):
            continue
        below = tuple(modules.below(tensor))
        evidence = shape_evidence(tensor, siblings, below)
        if evidence is not None and evidence.bank is not None:
            mixing = (other for other in below if len(other.shape) >= 2 and other.convolution is None)
            found.update((other.name, "kernel_generator") for other in mixing)
    return found


def _conditional(tensors: Sequence[StoredTensor]) -> Iterator[tuple[str, str]]:
    """Yield the routing weights of conditional convolutions, and their banks."""
    matrices = [t for t in tensors if len(t.shape) == 2 and parameter_name(t.key) == "weight" and t.convolution is None]
    experts: dict[tuple[tuple[str, ...], str], tuple[str, int]] = {}
    for tensor in matrices:
        module = split_raw_parameter_name(tensor.key)[0]
        if _ROUTING.search(module):
            experts[tensor.root, module.rpartition(".")[0]] = tensor.name, tensor.shape[0]
    for tensor in matrices:
        parent = split_raw_parameter_name(tensor.key)[0].rpartition(".")[0]
        if (tensor.root, parent) not in experts:
            continue
        routing, n = experts[tensor.root, parent]
        if tensor.name != routing and tensor.shape[0] == n:
            yield routing, "kernel_generator"
            yield tensor.name, "nonstandard_operator"
