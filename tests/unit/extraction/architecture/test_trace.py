"""What a network's graph says of its weights: depth, operator, kind."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from threading import Event, Thread

import pytest
import timm
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from timm.layers import BlurPool2d, CondConv2d, ScaledStdConv2d, StdConv2d
from torch import nn
from torch.nn import functional

from filtercrawl.api.errors import UnsupportedError
from filtercrawl.api.vocabulary import REASONS
from filtercrawl.extraction.architecture import Structure, on_meta, structure_rows, trace
from filtercrawl.extraction.architecture.depth import CallGraph, DepthState
from filtercrawl.extraction.architecture.isolation import isolated_model_code
from support.architecture_reference import attribute_disagreements, depth_disagreements

SMALL = ["test_resnet", "test_convnext", "test_nfnet", "test_byobnet", "test_efficientnet", "mobilenetv3_small_050"]


def image(side: int = 16, channels: int = 4) -> tuple[torch.Tensor, ...]:
    return (torch.empty(1, channels, side, side, device="meta"),)


def traced(module: nn.Module, sample: tuple[object, ...] | None = None) -> Structure:
    structure = trace(module, image() if sample is None else sample)
    assert structure.problem is None
    assert all(facts.reason is None or facts.reason in REASONS for facts in structure.facts.values())
    return structure


def depths(structure: Structure) -> dict[str, tuple[int, int | None] | None]:
    found = structure.convolutions()
    return {name: facts.depth and (facts.depth.conv_depth, facts.depth.n_conv_ancestors) for name, facts, _ in found}


@pytest.mark.parametrize("name", SMALL)
def test_depths_are_those_of_the_recorded_graph(name: str) -> None:
    module = on_meta(lambda: timm.create_model(name))
    structure = trace(module)
    assert structure.problem is None
    assert len(depths(structure)) > 3
    assert depth_disagreements(module.to("meta"), structure) == []
    assert attribute_disagreements(module, structure) == []


@pytest.mark.parametrize("name", ["googlenet", "regnet_y_400mf", "lraspp_mobilenet_v3_large"])
def test_torchvision_networks_have_the_attributes_of_their_modules(name: str) -> None:
    given = {"weights": None} | ({"weights_backbone": None} if "raspp" in name else {})
    module = on_meta(lambda: torchvision.models.get_model(name, **given))
    structure = trace(module)
    assert structure.problem is None
    assert attribute_disagreements(module, structure) == []
    assert len(depths(structure)) > 50


class Residual(nn.Module):
    """Two ways to one sum, the longer one of two convolutions; sums and slices in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 3, padding=1)
        self.one = nn.Conv2d(4, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 4, (1, 7), padding=(0, 3), groups=2)
        self.short = nn.Conv2d(4, 4, 1)
        self.head = nn.ConvTranspose2d(4, 6, 4, stride=2, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu_(self.stem(x))
        y = self.short(x)
        y += self.two(functional.relu(self.one(x), inplace=True))
        buffer = torch.empty_like(y)
        buffer[:, :2] = y[:, 2:]
        return self.head(buffer)


def test_depth_is_the_longest_path_and_ancestors_are_counted_once() -> None:
    structure = traced(Residual())
    assert depths(structure) == {
        "stem.weight": (0, 0),
        "one.weight": (1, 1),
        "two.weight": (2, 2),
        "short.weight": (1, 1),
        "head.weight": (3, 4),
    }
    stem, head = structure.facts["stem.weight"].depth, structure.facts["head.weight"].depth
    assert stem is not None
    assert head is not None
    assert (stem.is_first, stem.is_last, stem.conv_depth_norm) == (True, False, 0.0)
    assert (head.is_first, head.is_last, head.conv_depth_norm) == (False, True, 1.0)
    convolution = structure.facts["head.weight"].convolution
    assert convolution is not None
    assert (convolution.op, convolution.groups, convolution.stride) == ("conv_transpose2d", 2, (2, 2))
    assert structure.facts["stem.bias"].reason == "bias"


def test_one_convolution_is_first_and_last_at_depth_zero() -> None:
    depth = traced(nn.Conv2d(4, 8, 3)).facts["weight"].depth
    assert depth is not None
    assert (depth.conv_depth, depth.conv_depth_norm, depth.is_first, depth.is_last, depth.decile) == (
        (0, 0.0, True, True, 0)
    )


@given(st.integers(1, 2000).flatmap(lambda deepest: st.tuples(st.integers(0, deepest), st.just(deepest))))
def test_deciles_are_open_below_and_closed_above(numbers: tuple[int, int]) -> None:
    length, deepest = numbers
    calls = CallGraph()
    calls.add(DepthState(0, length))
    calls.add(DepthState(0, deepest))
    depth = calls.finish().of([0])
    share = Fraction(length, deepest)
    lower, upper = Fraction(depth.decile, 10), Fraction(depth.decile + 1, 10)
    assert lower < share <= upper or (share == 0 and depth.decile == 0)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 4, 3)
        self.never = nn.Conv1d(2, 3, 5, padding="same", dilation=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            x = self.never(x)
        return self.after(self.conv(self.conv(x)))


class Tied(nn.Module):
    """Two modules with one storage, as two parameters and as one."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(4, 4, 3, bias=False)
        self.b = nn.Conv2d(4, 4, 3, bias=False)
        self.b.weight = nn.Parameter(self.a.weight)
        self.c = nn.Conv2d(4, 4, 3, bias=False)
        self.c.weight = self.b.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.b(self.a(x)))


class Around(Shared):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.after(self.conv(x)))


def test_a_shared_weight_is_last_where_its_last_call_is() -> None:
    structure = traced(Around())
    ends = {n: (f.depth.is_first, f.depth.is_last) for n, f, _ in structure.convolutions() if f.depth}
    assert ends == {"conv.weight": (True, True), "after.weight": (False, False)}


class Generated(nn.Module):
    """Kernels made from the input, of the shape of weights before them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.make = nn.Linear(4, 4 * 4 * 9)
        self.of_constant = nn.Conv2d(1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return functional.conv2d(x, self.make(x.mean((2, 3))).view(4, 4, 3, 3))


def test_generated_kernels_are_not_those_of_another_layer() -> None:
    calls = {name: convolution.n_calls for name, _, convolution in traced(Generated()).convolutions()}
    assert calls == {"first.weight": 1, "of_constant.weight": 0}


class Constant(Generated):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(50):
            # What is freed leaves its address to what comes next.
            self.first(x)
            constant = torch.tensor([[[[1.0]]]])
        return self.of_constant(constant)


def test_a_new_value_does_not_inherit_from_one_whose_memory_it_got() -> None:
    with torch.device("cpu"):
        module = Constant()
    assert depths(traced(module, (torch.zeros(1, 4, 1, 1),)))["of_constant.weight"] == (0, 0)


class Views(nn.Module):
    """Uses what it stores in other layouts: another order of memory, an axis less, transposed, a part."""

    def __init__(self) -> None:
        super().__init__()
        self.ordered = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.flat = nn.Conv2d(4, 4, (3, 1), padding=(1, 0), bias=False)
        self.turned = nn.Conv2d(4, 4, 1, bias=False)
        self.bare = nn.ParameterDict({"weight": nn.Parameter(torch.zeros(4, 3, 3)), "matrix": torch.zeros(4, 4)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.conv2d(x, self.ordered.weight.clone(memory_format=torch.channels_last))
        x = functional.conv1d(x[..., 0], self.flat.weight[..., 0])[..., None]
        x = functional.conv_transpose2d(x, self.turned.weight.transpose(0, 1))
        x = functional.conv2d(x, self.bare["weight"][:, None], padding=1, groups=4)
        return functional.conv2d(x, self.bare["matrix"][..., None, None])


def test_what_is_seen_in_another_layout_is_still_what_is_stored() -> None:
    structure = traced(Views())
    assert depths(structure) == {"ordered.weight": (0, 0), "flat.weight": (1, 1), "turned.weight": (2, 2)}
    flat = structure.facts["flat.weight"].convolution
    assert flat is not None
    assert (flat.op, flat.padding, flat.n_calls) == ("conv2d", (1, 0), 1)
    assert structure.facts["bare.weight"].reason == "nonstandard_operator"


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tied_weights_are_one_weight_of_several_names(device: str) -> None:
    with torch.device(device):
        structure = traced(Tied())
    assert depths(structure) == dict.fromkeys(("a.weight", "b.weight", "c.weight"), (0, 0))
    assert {convolution.n_calls for _, _, convolution in structure.convolutions()} == {3}


def test_a_shared_weight_counts_where_it_is_called_first_and_an_unreached_one_nowhere() -> None:
    structure = traced(Shared())
    assert depths(structure) == {"conv.weight": (0, 0), "after.weight": (2, 2), "never.weight": None}
    calls = {name: convolution.n_calls for name, _, convolution in structure.convolutions()}
    assert calls == {"conv.weight": 2, "after.weight": 1, "never.weight": 0}
    never = structure.facts["never.weight"].convolution
    assert never is not None
    assert (never.op, never.padding, never.dilation) == ("conv1d", (4,), (2,))


class Kinds(nn.Module):
    """Every kind of weight in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(4, 4, 3, padding=1)
        self.std = StdConv2d(4, 4, 3, padding=1)
        self.scaled = ScaledStdConv2d(4, 4, 3, padding=1)
        self.blur = BlurPool2d(4, stride=1)
        self.one_blur = BlurPool2d(stride=1)
        self.one_blur.register_buffer("filt", self.one_blur.filt)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
        self.bank = CondConv2d(4, 8, 3, padding=1, num_experts=3)
        self.route = nn.Linear(4, 3)
        self.made = nn.Linear(5, 8 * 9, bias=False)
        self.code = nn.Parameter(torch.zeros(5))
        self.mix = nn.Parameter(torch.zeros(3, 2, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one_blur(self.blur(self.scaled(self.std(self.plain(x)))))
        x = self.normed(x)
        x = self.bank(x, self.route(x.mean((2, 3))).sigmoid())
        weight = self.made(self.code).view(8, 1, 3, 3)
        return functional.conv2d(x, weight, groups=8) + self.mix.sum()


def test_kinds_of_weights() -> None:
    structure = traced(Kinds())
    kinds = {name: facts.weight_kind for name, facts, _ in structure.convolutions()}
    assert kinds == {
        "plain.weight": "learned",
        "std.weight": "standardized",
        "scaled.weight": "standardized",
        "one_blur.filt": "fixed",
        "normed.parametrizations.weight.original1": "standardized",
        "bank.weight": "dynamic_bank",
    }
    assert structure.facts["bank.weight"].bank == (8, 4, 3, 3)
    assert structure.facts["bank.weight"].shape == (3, 8 * 4 * 9)
    assert structure.facts["made.weight"].reason == "linear"
    assert structure.facts["route.weight"].reason == "linear"
    # The fixed filter before it and the generated one after it are convolutions too.
    assert depths(structure)["bank.weight"] == (6, 6)


def test_rows_name_every_expert_and_turn_transposed_shapes() -> None:
    rows = structure_rows(traced(nn.Sequential(Residual(), nn.Conv2d(6, 1, 1))))
    head = next(row for row in rows if row["layer"] == "0.head")
    assert (head["shape"], head["in_channels"], head["kernel"], head["padding"]) == ([6, 2, 4, 4], 4, "4x4", [0, 0])
    assert [row["bank_index"] for row in structure_rows(traced(Kinds())) if row["layer"] == "bank"] == [0, 1, 2]


class Head(nn.Module):
    """What a classifier does with a map of 16x16: gates, whole-map filters a channel, a layer on the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)
        self.depthwise = nn.Conv2d(4, 4, 16, groups=4)
        self.dense = nn.Conv2d(4, 32, 16)
        self.classes = nn.Conv2d(32, 10, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x * self.gate(x.mean((2, 3), keepdim=True))
        return torch.cat([self.classes(self.dense(x)).flatten(1), self.depthwise(x).flatten(1)], 1)


def test_a_layer_on_the_whole_map_is_dense() -> None:
    kinds = {facts.layer: facts.weight_kind for _, facts, _ in traced(Head()).convolutions()}
    assert kinds == {
        "stem": "learned",
        "gate": "learned",
        "depthwise": "learned",
        "dense": "dense_as_conv",
        "classes": "dense_as_conv",
    }


class Gate(Head):
    """A layer on the whole map that weighs the channels of the map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.stem(x * self.dense(x)[:, :4])


class Pyramid(Head):
    """The last map of a detector is one point, and what looks at it looks at larger maps too."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes = nn.Conv2d(32, 6, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.boxes(self.dense(self.stem(x)))


def test_the_top_of_a_pyramid_is_not_dense() -> None:
    kinds = {facts.layer: facts.weight_kind for _, facts, _ in traced(Pyramid()).convolutions()}
    assert (kinds["dense"], kinds["boxes"]) == ("learned", "learned")


def test_a_gate_is_not_dense() -> None:
    kinds = {facts.layer: facts.weight_kind for _, facts, _ in traced(Gate()).convolutions()}
    assert kinds["dense"] == "learned"


class Boxes(nn.Module):
    """Looks at its numbers, as detectors do, and holds a small real tensor beside weights on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors = torch.arange(4.0)
        self.wide = nn.Conv2d(4, 64, 3, padding=1)
        self.score = nn.Conv2d(64, 4, 3)

    def forward(self, images: list[torch.Tensor]) -> torch.Tensor:
        self.anchors = self.anchors.to(images[0].device)
        scores = self.score(self.wide(images[0][None])) + self.anchors[:, None, None]
        return scores[scores > 1]


def test_a_network_that_looks_at_its_numbers_is_run_on_zeros() -> None:
    module = on_meta(Boxes)
    assert not module.get_parameter("score.bias").is_meta
    assert module.get_parameter("score.weight").numel() < 4096
    big = on_meta(lambda: nn.Conv2d(64, 64, 3))
    assert big.weight.is_meta
    assert depths(traced(module, ([torch.empty(4, 16, 16, device="meta")],))) == {
        "wide.weight": (0, 0),
        "score.weight": (1, 1),
    }


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.conv(x)
        raise KeyError("nothing\nhere")


def test_a_network_that_cannot_run_still_has_its_modules() -> None:
    structure = trace(Broken(), image())
    assert structure.problem == "KeyError: 'nothing\\nhere'"
    facts = structure.facts["conv.weight"]
    assert facts.depth is None
    assert facts.convolution is not None
    assert (facts.convolution.stride, facts.convolution.n_calls) == ((2, 2), None)


def test_a_network_that_takes_too_long_is_given_up() -> None:
    class Endless(Broken):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            while True:
                x = x + 1

    structure = trace(Endless(), image(), seconds=0.2)
    assert structure.problem == "TimeoutError: it takes too long"


class Loud(Residual):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        warnings.warn("deprecated", UserWarning, stacklevel=2)
        return super().forward(x)


def test_a_module_stays_as_it_was() -> None:
    module = Boxes().train()
    trace(module, ([torch.empty(4, 16, 16, device="meta")],))
    assert module.training
    assert module.anchors.tolist() == [0, 1, 2, 3]


def test_several_threads_trace_without_a_trace() -> None:
    filters, expected = list(warnings.filters), traced(Residual())
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: traced(on_meta(Loud)), range(16)))
    assert found == [expected] * 16
    assert warnings.filters == filters


def test_only_one_thread_at_a_time_is_quiet() -> None:
    second = Event()

    def enter() -> None:
        with isolated_model_code():
            second.set()

    thread = Thread(target=enter)
    with isolated_model_code():
        thread.start()
        assert not second.wait(0.1)
    thread.join(10)
    assert second.is_set()


def test_tracing_leaves_nothing_behind() -> None:
    module = Residual()
    state = torch.random.get_rng_state()
    first = traced(module)
    on_meta(lambda: nn.Dropout(0.5))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert traced(module) == first
    assert pickle.loads(pickle.dumps(first)) == first


def test_classes_prove_why_other_tensors_are_no_kernels() -> None:
    module = nn.Sequential(nn.BatchNorm2d(4), nn.PReLU(), nn.Flatten(), nn.Linear(1024, 2))
    reasons = {name: facts.reason for name, facts in traced(module).facts.items()}
    assert reasons == {
        **dict.fromkeys(("0.weight", "0.bias", "0.running_mean", "0.running_var", "0.num_batches_tracked"), "norm"),
        "1.weight": "activation",
        "3.weight": "linear",
        "3.bias": "bias",
    }


def test_a_network_of_too_many_modules_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filtercrawl.extraction.architecture.meta_device.MAX_MODULES", 100)
    with pytest.raises(UnsupportedError, match="more than 100 modules"):
        on_meta(lambda: nn.Sequential(*(nn.Sequential(nn.ReLU()) for _ in range(60))))
    assert len(on_meta(lambda: nn.Sequential(*(nn.ReLU() for _ in range(90))))) == 90
