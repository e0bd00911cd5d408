"""What a network's structure is, found in other ways: a walk over the graph of make_fx, and the modules themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.func import functional_call, functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.modules.conv import _ConvNd

from filtercrawl.extraction.architecture import Structure, default_sample

_aten = torch.ops.aten
CONVOLUTIONS = {_aten.convolution, _aten.conv1d, _aten.conv2d, _aten.conv3d, _aten.conv_transpose1d}
CONVOLUTIONS |= {_aten.conv_transpose2d, _aten.conv_transpose3d}

FAMILIES = [
    ("timm", name)
    for name in (
        "resnet18",
        "resnetblur50",
        "resnetv2_50x1_bit",
        "nf_resnet26",
        "seresnet33ts",
        "regnetx_002",
        "res2net50_26w_4s",
        "densenet121",
        "dla34",
        "vgg11",
        "inception_v3",
        "inception_v4",
        "xception41",
        "efficientnet_b0",
        "tf_efficientnet_cc_b0_4e",
        "mobilenetv3_small_050",
        "mixnet_s",
        "ghostnet_050",
        "repvgg_a0",
        "mobileone_s0",
        "fastvit_t8",
        "convnext_atto",
        "hrnet_w18_small",
        "cspresnet50",
        "lambda_resnet26t",
        "eca_resnet33ts",
        "coat_tiny",
        "levit_128s",
        "vit_tiny_patch16_224",
        "swin_tiny_patch4_window7_224",
    )
] + [
    ("torchvision", name)
    for name in (
        "alexnet",
        "squeezenet1_1",
        "shufflenet_v2_x0_5",
        "mnasnet0_5",
        "googlenet",
        "regnet_y_400mf",
        "mobilenet_v2",
        "fcn_resnet50",
        "r3d_18",
        "lraspp_mobilenet_v3_large",
    )
]


def graph_depths(module: nn.Module, sample: tuple[Any, ...] | None = None) -> dict[str, tuple[int, int]]:
    """Return (longest path, ancestors) in convolutions for each weight of a module, by the graph that make_fx records.

    `torch.export` gives the same for all of `FAMILIES`, in three times the time.

    Args:
        module: A network on the meta device; what it caches while it runs is of no use afterwards.
        sample: Its inputs.

    Returns:
        By the name in the state dict. A weight that is computed first counts for the parameter of its shape; of several
        calls the first counts.
    """
    module.eval()
    state = module.state_dict(keep_vars=True)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    alike: dict[int, list[str]] = {}
    for name, tensor in state.items():
        alike.setdefault(id(tensor), []).append(name)
    groups = {names[0]: names for names in alike.values()}

    def run(values: list[torch.Tensor], inputs: tuple[Any, ...]) -> Any:
        return functional_call(module, dict(zip(groups, values, strict=True)), inputs, tie_weights=True)

    with torch.no_grad():
        values = [state[name].detach() for name in groups]
        graph = make_fx(functionalize(run))(values, sample or default_sample(module)).graph
    placeholders = [node.name for node in graph.nodes if node.op == "placeholder"]
    parameters = dict(zip(placeholders, groups, strict=False))  # the inputs follow
    before: dict[Any, frozenset[Any]] = {}
    longest: dict[Any, int] = {}
    found: dict[str, tuple[int, int]] = {}
    for node in graph.nodes:
        sources = node.all_input_nodes
        ancestors = frozenset().union(*(before[source] for source in sources))
        length = max((longest[source] for source in sources), default=0)
        convolves = getattr(node.target, "overloadpacket", None) in CONVOLUTIONS
        before[node] = ancestors | {node} if convolves else ancestors
        longest[node] = length + convolves
        if convolves:
            for name in _weights(node.args[1], parameters, shapes):
                for alias in groups[name]:
                    found.setdefault(alias, (length, len(ancestors)))
    return found


def _weights(node: Any, names: dict[str, str], shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Follow a weight back to the parameters it is computed from, nearest first, and name those that fit."""
    wanted = tuple(node.meta["val"].shape)
    pending, seen = [node], {node}
    while pending:
        level = [names[item.name] for item in pending if item.name in names]
        fit = [name for name in level if shapes.get(name) == wanted or _bank(shapes.get(name, ()), wanted)]
        if fit:
            return fit
        pending = [source for item in pending for source in item.all_input_nodes if source not in seen]
        seen.update(pending)
    return []


def _bank(shape: tuple[int, ...], kernels: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[1] == torch.Size(kernels).numel()


def depth_disagreements(module: nn.Module, structure: Structure, sample: tuple[Any, ...] | None = None) -> list[str]:
    """Name the convolutions whose depth or number of ancestors the graph of make_fx has otherwise."""
    expected = graph_depths(module, sample)
    found = {
        name: (facts.depth.conv_depth, facts.depth.n_conv_ancestors)
        for name, facts, _ in structure.convolutions()
        if facts.depth is not None
    }
    names = sorted({*found, *(name for name in expected if name in structure.facts)})
    return [f"{n}: {found.get(n)} is {expected.get(n)}" for n in names if found.get(n) != expected.get(n)]


def attribute_disagreements(module: nn.Module, structure: Structure) -> list[str]:
    """Name the convolutions whose attributes are not those of their module, and modules that are missing."""
    wrong = []
    for path, part in module.named_modules():
        if not isinstance(part, _ConvNd):
            continue
        names = [f"{path}.weight".lstrip("."), f"{path}.parametrizations.weight.original1", f"{path}.weight_v"]
        convolution = next((structure.facts[n].convolution for n in names if n in structure.facts), None)
        kind = "conv_transpose" if part.transposed else "conv"
        if convolution is None:
            wrong.append(f"{path}: missing")
            continue
        expected: list[Any] = [f"{kind}{len(part.kernel_size)}d", part.groups, part.stride, part.dilation]
        given: list[Any] = [convolution.op, convolution.groups, convolution.stride, convolution.dilation]
        if not isinstance(part.padding, str):
            expected.append(tuple(part.padding))
            given.append(convolution.padding)
        if given != expected:
            wrong.append(f"{path}: {given} is {expected}")
    return wrong
