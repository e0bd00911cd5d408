"""Which set is the model: what trainers store decides, never the words `ema` and `avg`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.classify import classify_tensors

FILE = MemoryFile(bytes(1 << 16), "x")
CONV, BIAS, HEAD = (4, 2, 3, 3), (4,), (2, 4, 3, 3)
NET = {"a.weight": CONV, "a.bias": BIAS, "b.weight": HEAD}


def tensors(containers: Mapping[str, Mapping[str, tuple[int, ...]]]) -> list[StoredTensor]:
    """Return the tensors of nested dictionaries: containers by path (`a/b`), and the shapes in each."""
    found = []
    for container, shapes in containers.items():
        root = tuple(container.split("/")) if container else ()
        for key, shape in shapes.items():
            location = TensorLocation(file=FILE, offset=0, dtype="float32", shape=shape)
            name = ".".join((*root, key))
            found.append(StoredTensor(name=name, key=key, root=root, shape=shape, dtype="float32", location=location))
    return found


def below(prefix: str, **extra: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}{key}": shape for key, shape in NET.items()} | extra


def emitted(containers: Mapping[str, Mapping[str, tuple[int, ...]]]) -> list[str]:
    return [layer.tensor.name for layer in classify_tensors(tensors(containers), "all").layers]


SETS = {
    "mmengine swaps": (
        {"state_dict": NET, "ema_state_dict": below("module.", steps=())},
        ["state_dict.a.weight", "state_dict.b.weight"],
    ),
    "the same names of a trainer that does not swap": (
        {"state_dict": NET, "ema_state_dict": below("module.")},
        ["ema_state_dict.module.a.weight", "ema_state_dict.module.b.weight"],
    ),
    "mmcv 1 swaps": (
        {"state_dict": NET | {f"ema_{key.replace('.', '_')}": shape for key, shape in NET.items()}},
        ["state_dict.a.weight", "state_dict.b.weight"],
    ),
    "Lightning WeightAveraging": (
        {"state_dict": NET, "current_model_state": NET, "averaging_state": {"n_averaged": ()}},
        ["state_dict.a.weight", "state_dict.b.weight"],
    ),
    "mmengine swaps a compiled network": (
        {"state_dict": NET, "ema_state_dict": below("module._orig_mod.", steps=())},
        ["state_dict.a.weight", "state_dict.b.weight"],
    ),
    "mmengine swaps a distributed network": (
        {"state_dict": below("module."), "ema_state_dict": below("module.", steps=())},
        ["state_dict.module.a.weight", "state_dict.module.b.weight"],
    ),
    "Lightning WeightAveraging of a compiled network": (
        {"state_dict": below("model."), "current_model_state": below("model._orig_mod."),
         "averaging_state": {"n_averaged": ()}},
        ["state_dict.model.a.weight", "state_dict.model.b.weight"],
    ),
    "a moving average, spelled out": (
        {"model": NET, "model_moving_average": NET},
        ["model_moving_average.a.weight", "model_moving_average.b.weight"],
    ),
    "Lightning StochasticWeightAveraging": (
        {"state_dict": NET, "callbacks/SWA/average_model_state": below("module.", n_averaged=())},
        [f"callbacks.SWA.average_model_state.module.{name}.weight" for name in "ab"],
    ),
    "timm": ({"state_dict": NET, "state_dict_ema": NET}, ["state_dict_ema.a.weight", "state_dict_ema.b.weight"]),
    "ultralytics": ({"model": NET, "ema": NET}, ["ema.a.weight", "ema.b.weight"]),
    "BasicSR": ({"params": NET, "params_ema": NET}, ["params_ema.a.weight", "params_ema.b.weight"]),
    "a whole network under any name": (
        {"": below("student.") | below("student_ema.")},
        ["student_ema.a.weight", "student_ema.b.weight"],
    ),
    "AveragedModel under any name": (
        {"model": NET, "second": below("module.", n_averaged=())},
        ["second.module.a.weight", "second.module.b.weight"],
    ),
    "AveragedModel in a module": (
        {"state_dict": below("net.") | below("shadow.module.") | {"shadow.n_averaged": ()}},
        ["state_dict.shadow.module.a.weight", "state_dict.shadow.module.b.weight"],
    ),
    "ema_pytorch": (
        {"": below("online_model.") | below("ema_model.", initted=(), step=())},
        ["ema_model.a.weight", "ema_model.b.weight"],
    ),
    "NanoDet": (
        {"state_dict": below("model.") | below("avg_model.")},
        [f"state_dict.avg_model.{name}.weight" for name in "ab"],
    ),
    "DINO": (
        {"student": below("module.backbone."), "teacher": below("backbone."), "dino_loss": {"center": (1, 9)}},
        ["teacher.backbone.a.weight", "teacher.backbone.b.weight"],
    ),
    "iBOT": (
        {"student": below("module."), "teacher": NET, "ibot_loss": {"center": (1, 9), "center2": (1, 1, 9)}},
        ["teacher.a.weight", "teacher.b.weight"],
    ),
    "DINOv2": (
        {"model": below("student.backbone.") | below("teacher.backbone.") | {"dino_loss.center": (1, 9)}},
        ["model.teacher.backbone.a.weight", "model.teacher.backbone.b.weight"],
    ),
    "GAN": (
        {"G": NET, "D": {"c.weight": CONV}, "G_ema": NET},
        ["D.c.weight", "G_ema.a.weight", "G_ema.b.weight"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SETS)
def test_the_set_that_a_trainer_loads_is_emitted(case: str) -> None:
    containers, expected = SETS[case]
    assert emitted(containers) == expected
    ledger = classify_tensors(tensors(containers), "all").ledger
    copied = {entry.tensor for entry in ledger if entry.reason == "raw_copy"}
    assert len(copied) == len(NET)
    assert {entry.rule for entry in ledger if entry.tensor in copied} <= {"trainer_swap", "trainer_average"}


def test_averages_of_a_network_that_has_modules_named_so() -> None:
    net = below("avg_branch.") | below("branch.") | below("ema.") | {"stem.weight": CONV}
    found = emitted({"state_dict": net, "state_dict_ema": net})
    assert found == [f"state_dict_ema.{key}" for key, shape in net.items() if len(shape) == 4]
    found = emitted({"": {f"{part}.{key}": shape for part in ("model", "model_ema") for key, shape in net.items()}})
    assert found == [f"model_ema.{key}" for key, shape in net.items() if len(shape) == 4]


COPIES = {
    "raw weights beside the average that is in use": (
        {"model": NET, "ema/shadow": NET, "ema/backup": NET},
        [f"ema.shadow.{name}.weight" for name in "ab"],
    ),
    "the same without the network": (
        {"averages/shadow": NET, "averages/backup": NET},
        [f"averages.shadow.{name}.weight" for name in "ab"],
    ),
    "an average in two precisions": (
        {"model": NET, "extra_state/ema": NET, "extra_state/ema_fp32_params": {"a.weight": CONV, "b.weight": HEAD}},
        [f"extra_state.ema.{name}.weight" for name in "ab"],
    ),
    "averages over several spans": (
        {"model": NET, "ema/state_dicts/0": NET, "ema/state_dicts/1": NET},
        [f"ema.state_dicts.0.{name}.weight" for name in "ab"],
    ),
}


@pytest.mark.parametrize("case", COPIES)
def test_one_average_is_emitted(case: str) -> None:
    containers, expected = COPIES[case]
    assert emitted(containers) == expected
    reasons = [entry.reason for entry in classify_tensors(tensors(containers), "all").ledger]
    assert reasons.count("raw_copy") == len(tensors(containers)) - len(NET)


def test_averages_of_networks_of_equal_names_are_all_emitted() -> None:
    containers = dict.fromkeys(("one", "two", "ema_a", "ema_b"), NET)
    assert emitted(containers) == [f"{name}.{part}.weight" for name in ("ema_a", "ema_b") for part in "ab"]


MODULES = {
    "a backup of another network": {"shadow": NET, "backup": {"c.weight": CONV}},
    "a branch that pools": {"": below("branch.") | below("avg_branch.") | {"stem.weight": CONV}},
    "two branches and nothing else": {"": below("branch.") | below("avg_branch.")},
    "a branch without a namesake": {"": below("max_branch.") | below("avg_branch.")},
    "an attention called ema": {"": below("ema.") | below("attn.") | {"stem.weight": CONV}},
    "a branch called ema": {"": below("branch_ema.") | below("branch.") | {"stem.weight": CONV}},
    "containers of branches": {"branch": NET, "avg_branch": NET},
    "a teacher that is distilled": {"student": NET, "teacher": NET},
    "a teacher of another network": {
        "student": NET,
        "teacher": {"a.weight": HEAD, "c.weight": CONV},
        "dino_loss": {"center": (1, 9)},
    },
    "encoders of contrastive learning": {"state_dict": below("module.encoder_q.") | below("module.encoder_k.")},
    "raw weights of Lightning without the average": {"current_model_state": NET},
}


@pytest.mark.parametrize("case", MODULES)
def test_modules_named_so_are_no_averages(case: str) -> None:
    kernels = [tensor.name for tensor in tensors(MODULES[case]) if len(tensor.shape) == 4]
    assert emitted(MODULES[case]) == kernels


def test_averages_in_a_list_are_those_of_the_parameters_in_their_order() -> None:
    raw = {"module.sigmas": (4,)} | below("module.")
    found = classify_tensors(
        tensors({"model": raw, "ema/shadow_params": {str(i): shape for i, shape in enumerate(NET.values())}}), "all"
    )
    assert [(layer.tensor.name, layer.path) for layer in found.layers] == [
        ("ema.shadow_params.0", "a"), ("ema.shadow_params.2", "b"),
    ]  # fmt: skip
    assert {entry.reason for entry in found.ledger if entry.tensor.startswith("model.")} == {"raw_copy"}


def test_raw_weights_in_a_list_beside_the_averages() -> None:
    shapes = {str(i): shape for i, shape in enumerate(NET.values())}
    containers = {"model": NET, "ema/shadow_params": shapes, "ema/collected_params": shapes}
    assert emitted(containers) == ["ema.shadow_params.0", "ema.shadow_params.2"]
    ledger = classify_tensors(tensors(containers), "all").ledger
    assert {entry.reason for entry in ledger if "shadow" not in entry.tensor} == {"raw_copy"}


def test_a_list_that_does_not_fit_is_no_average() -> None:
    assert emitted({"model": NET, "ema/shadow_params": {"0": CONV}}) == ["model.a.weight", "model.b.weight"]
    two = {"model": NET, "other": NET, "ema/shadow_params": {"0": CONV, "1": HEAD}}
    assert emitted(two) == [f"{name}.{part}.weight" for name in ("model", "other") for part in "ab"]


def test_a_pickled_network_in_a_container_named_after_an_optimizer() -> None:
    (weight,) = tensors({"optimizer": {"conv.weight": CONV}})
    assert classify_tensors([weight], "all").layers == ()
    stated = replace(weight, convolution=Convolution(op="conv2d", groups=1, source="module"))
    assert len(classify_tensors([stated], "all").layers) == 1


def test_a_network_among_the_arguments_of_a_trainer_is_no_second_model() -> None:
    found = classify_tensors(tensors({"state_dict": below("net."), "hyper_parameters/net": NET}), "all")
    assert [layer.tensor.name for layer in found.layers] == ["state_dict.net.a.weight", "state_dict.net.b.weight"]
    assert {entry.reason for entry in found.ledger[3:]} == {"outside_prefix"}
    assert found.num_params == sum((72, 4, 72))
    assert emitted({"hyper_parameters/net": NET}) == ["hyper_parameters.net.a.weight", "hyper_parameters.net.b.weight"]
