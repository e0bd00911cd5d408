"""What readers hand over is checked once, and unprintable names are escaped."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.checkpoint import TrainingState
from filtercrawl.api.convolution import Convolution, FollowingNorm, Standardization
from filtercrawl.api.errors import CheckpointError, FormatError, UnsafeFileError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import Quantization, StoredTensor
from filtercrawl.api.tensor_checks import checked_tensors, checked_training
from filtercrawl.api.tensor_location import TensorLocation


def tensor(name: Any = "w", shape: tuple[Any, ...] = (2,), dtype: str = "float32", **facts: Any) -> StoredTensor:
    return StoredTensor(**{"name": name, "key": name, "shape": shape, "dtype": dtype, "location": None, **facts})


def convolution(groups: Any) -> Convolution:
    return Convolution(op="conv2d", groups=groups, source="onnx_graph")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (tensor(shape=(0, 2**70)), "'w'.*integers from 0"),
        (tensor(shape=(-1,)), r"'w'.*\[-1\].*integers from 0"),
        (tensor(shape=(True,)), r"'w'.*\[True\].*integers from 0"),
        (tensor(shape=(2**40, 2**40)), r"'w'.*2\^63 numbers or more"),
        (tensor(shape=(1 << 16_609,)), "'w'.*an integer of 16610 bits"),
        (tensor(shape=(1,) * 65), "'w'.*65 axes"),
        (tensor(shape=[2]), "'w'.*integers from 0"),  # type: ignore[arg-type]  # as a plugin may have it
        (tensor(name="x" * 4097), "a name of 4,097 characters"),
        (tensor(name=3), "3 is the name"),
        (tensor(convolution=convolution(0)), "'w'.* 0 groups"),
        (tensor(convolution=convolution(True)), "'w'.* True groups"),
        (tensor(convolution=convolution(2**63)), "'w'.* groups"),
        (tensor(quantization=Quantization(axis=1)), "'w'.* axis 1"),
        (tensor(quantization=Quantization(scale=(1.0, 2.0, 3.0))), "'w'.* 3 numbers of its scale"),
        (tensor(quantization=Quantization(zero_point=(2**31,))), "'w'.* zero point"),
        (tensor(quantization=Quantization(zero_point=(True,))), "'w'.* zero point"),
        (tensor(quantization=Quantization(scale=("1",))), "'w'.* scale"),  # type: ignore[arg-type]  # as above
        (tensor(parts=(tensor(shape=(-1,)),)), "'w'.*integers from 0"),
        (tensor(bank=(2**64,)), "'w'.*integers from 0"),
    ],
    ids=itertools.count(),
)
def test_a_tensor_that_is_not_possible(made: StoredTensor, words: str) -> None:
    with pytest.raises((FormatError, UnsafeFileError), match=f"^net.pt: .*{words}") as caught:
        checked_tensors("net.pt", [tensor(), made])
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_sound_tensors_are_left_as_they_are() -> None:
    sound = (
        tensor(shape=()),
        tensor(shape=(0, 2**62, 2**62)),
        tensor(shape=(2**62,)),
        tensor(name="größe.模型.weight", root=("state_dict",), layer="größe", notes=("fp16",)),
        tensor(quantization=Quantization(scale=(1.0, 0.5), zero_point=(3, -(2**31)))),
        tensor(shape=(), quantization=Quantization()),
        tensor(convolution=convolution(None), norm=FollowingNorm(path="bn"), standardization=Standardization(eps=0.0)),
    )
    checked = checked_tensors("net.pt", sound)
    assert all(after is before for after, before in zip(checked, sound, strict=True))


def test_names_are_escaped_wherever_one_tensor_names_another() -> None:
    made = tensor(
        name="a\x1b\udc80", layer="\u202e", root=("\n",), bias="b\0", notes=("\x7f",), dtype="\x1b[31m" + "X" * 1000,
        norm=FollowingNorm(path="n", scale="\ud800"), standardization=Standardization(eps=1.0, gain="g\r"),
        parts=(tensor(name="a\x1b\udc80"),),
    )  # fmt: skip
    (checked,) = checked_tensors("net.pt", [made])
    assert checked.name == checked.key == checked.parts[0].name == r"a\x1b\x80"
    assert (checked.layer, checked.root, checked.bias, checked.notes) == (
        r"\U0000202e", (r"\x0a",), r"b\x00", (r"\x7f",)
    )  # fmt: skip
    assert checked.norm == FollowingNorm(path="n", scale=r"\U0000d800")
    assert checked.standardization == Standardization(eps=1.0, gain=r"g\x0d")
    assert checked.dtype.startswith(r"\x1b[31mXXX")
    assert len(checked.dtype) == 64


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=20), unique=True))
def test_different_names_stay_different(names: list[str]) -> None:
    checked = checked_tensors("net.pt", map(tensor, names))
    assert len({each.name for each in checked}) == len(names)
    assert all(each.name.isprintable() for each in checked)


ANYTHING = st.one_of(st.booleans(), st.integers(), st.integers(-(2**70), 2**70), st.floats(), st.text(), st.none())


@given(st.lists(ANYTHING).map(tuple), ANYTHING)
def test_any_shape_is_stored_or_refused(shape: tuple[Any, ...], groups: Any) -> None:
    try:
        (checked,) = checked_tensors("net.pt", [tensor(shape=shape, convolution=convolution(groups))])
    except CheckpointError:
        return
    assert all(type(size) is int and 0 <= size < 2**63 for size in checked.shape)
    assert groups is None or type(groups) is int


@pytest.mark.parametrize("step", [-1, 2**63, True, 1.5, "3"])
def test_a_step_is_an_integer_of_63_bits(step: Any) -> None:
    assert checked_training("net.pt", TrainingState(step=2**63 - 1)) == TrainingState(step=2**63 - 1)
    with pytest.raises(FormatError, match="states the step"):
        checked_training("net.pt", TrainingState(step=step))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strides": (2**70, 1)}, "strides"),
        ({"strides": (2**61, 1)}, "strides"),
        ({"shape": (True, 1)}, "shape"),
        ({"shape": (-1, 1)}, "shape"),
        ({"dtype": "F99"}, "dtype"),
        ({"offset": True}, "offset"),
    ],
)
def test_a_location_holds_what_it_says(changes: dict[str, Any], words: str) -> None:
    sound = TensorLocation(
        file=MemoryFile(bytes(64), "net.pt"), offset=0, dtype="float32", shape=(1, 1), strides=(1, 1)
    )
    with pytest.raises(FormatError, match=words):
        replace(sound, **changes)
