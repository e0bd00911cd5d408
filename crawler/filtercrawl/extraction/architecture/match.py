"""Match a checkpoint's tensors with the structure of its network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.convolution import FollowingNorm
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.architecture.facts import Structure, TensorFacts
from filtercrawl.extraction.state_dict_names import is_kernel, split_raw_parameter_name, strip_wrappers

# How many of a structure's names are looked for in a checkpoint to learn under which prefix it keeps them.
_PROBES: Final = 8


@dataclass(frozen=True, kw_only=True)
class MatchedTensors:
    """The tensors of a checkpoint with the facts that the structure proves.

    Attributes:
        tensors: All tensors in their order; banks are not split yet.
        matched: Number of tensors that the structure knows by name and shape.
        unmatched: Names of the others, which keep what their bytes prove.
    """

    tensors: tuple[StoredTensor, ...]
    matched: int
    unmatched: tuple[str, ...]


def match_tensors(structure: Structure, tensors: Iterable[StoredTensor], prefix: str = "") -> MatchedTensors:
    """Add the convolution, depth, kind or reason that the structure proves to each tensor.

    A tensor matches if its key, without wrappers, is a name of the structure and its shape is equal. A mapping whose
    names are
    one prefix deeper or higher than the structure's (`backbone.`) matches if every convolution of that part is then
    found with
    its shape. Nothing else is renamed.

    Args:
        tensors: The tensors of a checkpoint.
        structure: The structure of its network.
        prefix: Only names below it belong to the model.
    """
    every = tuple(tensors)
    known = _known(structure, [tensor for tensor in every if tensor.name.startswith(prefix)])
    found = [
        _with(tensor, known[tensor.name], ran=structure.problem is None) if tensor.name in known else tensor
        for tensor in every
    ]
    unmatched = tuple(tensor.name for tensor in every if tensor.name not in known)
    return MatchedTensors(tensors=tuple(found), matched=len(every) - len(unmatched), unmatched=unmatched)


def _known(structure: Structure, tensors: Sequence[StoredTensor]) -> dict[str, TensorFacts]:
    """Return the facts of each tensor by its full name."""
    mappings: dict[tuple[str, ...], dict[str, StoredTensor]] = defaultdict(dict)
    for tensor in tensors:
        mappings[tensor.root][_known_name(structure, tensor.key)] = tensor
    found: dict[str, TensorFacts] = {}
    for stored in mappings.values():
        renamed = _renamed(structure, stored)
        for key, tensor in stored.items():
            facts = structure.facts.get(renamed.get(key, ""))
            if facts is not None and facts.shape == tensor.shape:
                found[tensor.name] = facts
        names = {renamed[key]: tensor.name for key, tensor in stored.items() if key in renamed}
        for key, tensor in stored.items():
            if tensor.name in found:
                found[tensor.name] = _with_stored_names(found[tensor.name], renamed[key], structure, names)
    return found


def _with_stored_names(facts: TensorFacts, name: str, structure: Structure, names: Mapping[str, str]) -> TensorFacts:
    """Replace the names that facts about a tensor contain by those of the checkpoint.

    Args:
        facts: The facts.
        name: Name of the tensor in the structure.
        structure: The structure.
        names: Names in the checkpoint by those of the structure.
    """
    standard = facts.standardization
    if standard is not None and standard.gain is not None:
        gain = names.get(standard.gain)
        facts = replace(facts, standardization=None if gain is None else replace(standard, gain=gain))
    norm = facts.norm
    if norm is None:
        return facts
    leaves = {"scale": norm.scale, "offset": norm.offset, "mean": norm.mean, "variance": norm.variance}
    stored = {leaf: names.get(own) for leaf, own in leaves.items() if own is not None}
    if None not in stored.values():
        return replace(facts, norm=FollowingNorm(path=norm.path, **stored), bn_folded=False)
    # Folding leaves a bias where the convolution had none.
    bias = f"{split_raw_parameter_name(name)[0]}.bias"
    folded = not any(stored.values()) and bias in names and bias not in structure.facts
    return replace(facts, norm=FollowingNorm(path=norm.path), bn_folded=True if folded else None)


def _known_name(structure: Structure, key: str) -> str:
    """Return a key without wrappers; `module` may be a network's own name."""
    stripped = strip_wrappers(key)
    if stripped in structure.facts or ".module." not in stripped:
        return stripped
    bare = ".".join(part for part in stripped.split(".") if part != "module")
    return bare if bare in structure.facts else stripped


def _renamed(structure: Structure, stored: Mapping[str, StoredTensor]) -> dict[str, str]:
    """Return the structure's name for each key of a mapping, where one is proven."""
    kernels = {name: facts.shape for name, facts, _ in structure.convolutions()}
    probes = sorted(kernels, key=len, reverse=True)[:_PROBES]
    if not any(name in stored for name in kernels):
        deeper = sorted({key[: -len(name)] for name in probes for key in stored if key.endswith(f".{name}")})
        for prefix in deeper:
            if all(_has(stored, prefix + name, shape) for name, shape in kernels.items()):
                return {key: key.removeprefix(prefix) for key in stored if key.startswith(prefix)}
        higher = sorted({name[: -len(key)] for name in probes for key in stored if name.endswith(f".{key}")})
        for prefix in higher:
            below = {name: shape for name, shape in kernels.items() if name.startswith(prefix)}
            if all(_has(stored, name.removeprefix(prefix), shape) for name, shape in below.items()):
                return {key: prefix + key for key in stored}
    return {key: key for key in stored}


def _has(stored: Mapping[str, StoredTensor], key: str, shape: tuple[int, ...]) -> bool:
    return key in stored and stored[key].shape == shape


def _with(tensor: StoredTensor, facts: TensorFacts, *, ran: bool) -> StoredTensor:
    if tensor.reason is not None:
        return tensor
    if facts.convolution is None:
        if tensor.convolution is not None:
            return tensor
        tensor = replace(tensor, eps=facts.eps if tensor.eps is None else tensor.eps)
        # A network that was run has shown all its convolutions; what only looks like one is none.
        mistaken = ran and is_kernel(tensor.key, tensor.shape)
        return replace(tensor, reason=facts.reason or ("nonstandard_operator" if mistaken else None))
    convolution = facts.convolution
    if tensor.convolution is not None and tensor.convolution.learned is False:
        convolution = replace(convolution, learned=False)
    return replace(
        tensor,
        layer=tensor.layer or facts.layer,
        convolution=convolution,
        depth=facts.depth,
        weight_kind="fixed" if convolution.learned is False else facts.weight_kind,
        bank=facts.bank,
        norm=facts.norm,
        standardization=facts.standardization,
        bn_folded=facts.bn_folded,
    )
