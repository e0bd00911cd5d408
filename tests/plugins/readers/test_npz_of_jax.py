"""NumPy archives of JAX libraries: paths of Flax joined by underscores, and variables of Objax by number."""

from __future__ import annotations

import io

import numpy as np
import pytest

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.npz import NpzReader
from support.torch_files import OneFile

OBJAX = "(Net).layers(Sequential)[0]"


def stored(**arrays: np.ndarray) -> dict[str, StoredTensor]:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return {tensor.name: tensor for tensor in NpzReader().tensors(OneFile(MemoryFile(buffer.getvalue())))}


def kernel_of(tensor: StoredTensor) -> np.ndarray:
    assert tensor.location is not None
    raw = tensor.location.read(tuple((0, size) for size in tensor.shape))
    return np.ascontiguousarray(raw).view("<f4")[..., 0]


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype("<f4")


def objax(**variables: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays as `objax.io.save_var_collection` writes them."""
    arrays = {str(i): array for i, array in enumerate(variables.values())}
    return arrays | {"names": np.array(list(variables))}


def test_paths_joined_by_two_underscores_are_paths() -> None:
    kernel, depthwise = numbers(3, 8, 32), numbers(4, 1, 256)
    found = stored(
        ConvBlock1D_0__Conv_0__kernel=kernel,
        ConvBlock1D_0__Conv_0__bias=numbers(32),
        Mamba_0__Conv_0__kernel=depthwise,
        Mamba_0__Conv_0__bias=numbers(256),
        Mamba_0__Dense_0__kernel=numbers(256, 512),
    )
    convolution = found["ConvBlock1D_0__Conv_0__kernel"]
    assert convolution.key == "ConvBlock1D_0.Conv_0.kernel"
    assert convolution.layout == "kio"
    assert np.array_equal(kernel_of(convolution), kernel.transpose(2, 1, 0))
    assert np.array_equal(kernel_of(found["Mamba_0__Conv_0__kernel"]), depthwise.transpose(2, 1, 0))
    assert found["Mamba_0__Dense_0__kernel"].reason == "linear"


def test_underscores_are_part_of_a_name_where_paths_have_slashes() -> None:
    found = stored(**{"a__b/Conv_0/kernel": numbers(3, 3, 4, 8), "a__b/Conv_0/bias": numbers(8)})
    assert found["a__b/Conv_0/kernel"].key == "a__b.Conv_0.kernel"


def test_variables_of_objax_have_their_names_and_kernels_the_order_of_torch() -> None:
    kernel, transposed = numbers(3, 3, 4, 8), numbers(2, 2, 5, 8)
    found = stored(
        **objax(
            **{
                f"{OBJAX}(Conv2D).w": kernel,
                f"{OBJAX}(Conv2D).b": numbers(8, 1, 1),
                "(Net).norm(BatchNorm2D).running_mean": numbers(1, 8, 1, 1),
                "(Net).up(ConvTranspose2D).w": transposed,
                "(Net).head(Linear).w": numbers(8, 10),
                "(Net).mixer(Custom).w": numbers(3, 3, 4),
            }
        )
    )
    convolution = found[f"{OBJAX}(Conv2D).w"]
    assert (convolution.key, convolution.layout) == ("layers.0.w", "kio")
    assert np.array_equal(kernel_of(convolution), kernel.transpose(3, 2, 0, 1))
    assert np.array_equal(kernel_of(found["(Net).up(ConvTranspose2D).w"]), transposed.transpose(2, 3, 0, 1))
    assert {name: tensor.reason for name, tensor in found.items() if tensor.reason} == {
        f"{OBJAX}(Conv2D).b": "bias",
        "(Net).norm(BatchNorm2D).running_mean": "norm",
        "(Net).head(Linear).w": "linear",
        "(Net).mixer(Custom).w": "unknown_layout",
        "names": "other",
    }


@pytest.mark.parametrize(
    "names",
    [
        np.array(["no class"]),
        np.array(["(Net)(Conv2D).w", "(Net)(Conv2D).b"]),
        np.array([["(Net)(Conv2D).w"]]),
        np.frombuffer(b"\xff" * 4, "<U1"),
        np.array([""]),
        np.array([b"(Net)(Conv2D).w"]),
    ],
    ids=["no-class", "too-many", "two-axes", "no-unicode", "empty", "bytes"],
)
def test_other_arrays_called_names_name_nothing(names: np.ndarray) -> None:
    found = stored(**{"0": numbers(3, 3, 4, 8), "names": names})
    assert found.keys() == {"0", "names"}
    assert found["0"].reason == "unknown_layout"


def test_names_larger_than_those_of_a_network_are_refused() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{str(i): numbers(1) for i in range(5)}, names=np.zeros(5, "<U999999"))
    tensors = NpzReader().tensors(OneFile(MemoryFile(buffer.getvalue())))
    with pytest.raises(FormatError, match="names"):
        next(iter(tensors))
