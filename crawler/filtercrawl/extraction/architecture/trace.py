"""Run a network once without weights and determine what each tensor of its state dict is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from filtercrawl.api.convolution import Convolution, FollowingNorm, Op
from filtercrawl.extraction.architecture.dispatch_mode import ConvolutionCall, Tracer
from filtercrawl.extraction.architecture.execution import Calls, Execution, execute
from filtercrawl.extraction.architecture.facts import (
    Structure,
    TensorFacts,
    attributes,
    exclusion_reason,
    owning_module,
    standardization,
    variance_eps,
)
from filtercrawl.extraction.architecture.isolation import isolated_model_code
from filtercrawl.extraction.architecture.weight_origin import OwnedTensor, owned_tensors
from filtercrawl.extraction.state_dict_names import split_parameter_name

_INPUT_SIZE: Final = (3, 224, 224)


def trace(
    module: nn.Module, sample: tuple[Any, ...] | Sequence[Calls] | None = None, *, seconds: float = 120.0
) -> Structure:
    """Run a network in eval mode on the meta device and return its structure.

    A network that cannot be run raises nothing: `Structure.problem` says why, and the structure has what its modules
    prove, without depths.

    Args:
        module: A network without weights (`on_meta`); one that cannot run on the meta device is filled with zeros.
        sample: Positional arguments of one call, batch size 1, on the meta device; or a list of calls to try, see
            `filtercrawl.api.SupportsSampleInput`; None for one image of the configured size.
        seconds: Time limit.
    """
    sample = default_sample(module) if sample is None else sample
    attempts = [{"": sample}] if isinstance(sample, tuple) else sample
    with isolated_model_code():
        try:
            return Structure(facts=_facts_from_trace(module, execute(module, attempts, seconds)))
        except Exception as error:  # noqa: BLE001 - networks are other people's code; what they raise is theirs
            text = " ".join(str(error).split())[:300]
            return Structure(facts=_modules_alone(module), problem=f"{type(error).__name__}: {text}")


def structure_from_modules(module: nn.Module) -> Structure:
    """Return what the modules of a network prove without running it: no depths, no banks."""
    with isolated_model_code():
        return Structure(facts=_modules_alone(module))


def default_sample(module: nn.Module) -> tuple[torch.Tensor, ...]:
    """Return one image `[1, 3, height, width]` on the meta device, of the size in the configuration of the module."""
    config = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None) or {}
    size = config.get("input_size") if isinstance(config, Mapping) else getattr(config, "input_size", None)
    return (torch.empty((1, *(size or _INPUT_SIZE)), device="meta"),)


def _facts_from_trace(module: nn.Module, execution: Execution) -> dict[str, TensorFacts]:
    owned, tracer = execution.owned, execution.tracer
    depths = tracer.calls.finish()
    dense = depths.places.dense if depths.places else frozenset()
    calls: dict[int, list[ConvolutionCall]] = defaultdict(list)
    for call in tracer.used:
        calls[call.owner.index].append(call)
    modules = dict(module.named_modules())
    facts: dict[str, TensorFacts] = {}
    for i, item in enumerate(owned):
        for name in item.names:
            ran = any(not path or name.startswith(f"{path}.") for path in execution.called)
            facts[name] = _facts(name, item, modules, calls.get(i, []), ran=ran)
            if not ran and facts[name].convolution is None and facts[name].reason is None:
                del facts[name]  # the module that holds it was not run, and may convolve with it
                continue
            uses = [call for call in calls.get(i, []) if call.owner.kind is not None]
            if uses and facts[name].convolution is not None:
                kind = uses[0].owner.kind
                facts[name] = replace(
                    facts[name],
                    depth=depths.of([use.index for use in uses]),
                    weight_kind="dense_as_conv" if kind == "learned" and uses[0].index in dense else kind,
                    norm=_norm(tracer, uses),
                    bank=uses[0].owner.bank,
                )
    return {name: facts[name] for name in module.state_dict() if name in facts}


def _norm(tracer: Tracer, uses: Sequence[ConvolutionCall]) -> FollowingNorm | None:
    """Return the normalization that follows a convolution in each of its calls."""
    norms = {tracer.norms.norm_of(call.index) for call in uses}
    return norms.pop() if len(norms) == 1 else None


def _modules_alone(module: nn.Module) -> dict[str, TensorFacts]:
    modules = dict(module.named_modules())
    facts = {name: _facts(name, item, modules, [], ran=False) for item in owned_tensors(module) for name in item.names}
    return {name: facts[name] for name in module.state_dict() if name in facts}


def _facts(
    name: str, item: OwnedTensor, modules: Mapping[str, nn.Module], calls: list[ConvolutionCall], *, ran: bool
) -> TensorFacts:
    path, owner = owning_module(name, modules)
    leaf = split_parameter_name(name)[1]
    facts = TensorFacts(shape=item.shape, layer=path)
    if owner is not None:
        standard = standardization(path, owner, leaf)
        facts = replace(facts, standardization=standard, eps=variance_eps(owner, leaf))
    uses = [call for call in calls if call.owner.kind is not None]
    stated = attributes(owner, leaf, item.learned) if owner is not None else None
    if stated is None and uses and uses[0].owner.as_stored:
        stated = _attributes(uses[0], item, owner)
    if stated is not None:
        kind = "fixed" if item.learned is False else "learned"
        return replace(facts, convolution=replace(stated, n_calls=len(uses) if ran else None), weight_kind=kind)
    found = exclusion_reason(owner, leaf) if owner is not None else None
    if found is None and uses and len(item.shape) > 2:
        found = "nonstandard_operator"  # kernels, but not in the order that they are stored in
    elif found is None and calls:
        found = "kernel_generator"
    return replace(facts, reason=found)


def _attributes(call: ConvolutionCall, item: OwnedTensor, owner: nn.Module | None) -> Convolution:
    """Return the convolution of a call, or of the module whose weight has another name."""
    parametrized = attributes(owner, "weight", item.learned) if isinstance(owner, _ConvNd) else None
    if parametrized is not None:
        return parametrized
    shape = call.owner.bank or item.shape
    kind = "conv_transpose" if call.transposed else "conv"
    return Convolution(
        op=cast("Op", f"{kind}{len(shape) - 2}d"),
        # One kernel that is used for every channel is stored as a layer of one channel.
        groups=call.groups if shape[0] % call.groups == 0 else 1,
        stride=call.stride,
        padding=call.padding,
        dilation=call.dilation,
        learned=item.learned,
        source="module",
    )
