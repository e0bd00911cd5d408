"""Files of Keras: every kernel as its layer convolves, from numbers that stay in the file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings

from conftest import Sync
from filtercrawl.api.convolution import Convolution
from filtercrawl.api.errors import CheckpointError, FormatError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.keras.readers import KerasArchiveReader, KerasHdf5Reader
from support.damage import damaged
from support.recording_file import WantedFile, want_all
from support.torch_files import OneFile
from support.zoo_files import layers, models

RNG = np.random.default_rng(0)
HDF5, ARCHIVE = KerasHdf5Reader(), KerasArchiveReader()


def array(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype("f4")


# One layer of each class, as Keras 2 and 3 describe it: class, settings, arrays by name, all in the order of Keras.
CONV = {"strides": [1, 1], "padding": "same", "dilation_rate": [1, 1], "groups": 2}
NETWORK: dict[str, tuple[str, dict[str, Any], dict[str, np.ndarray]]] = {
    "stem": ("Conv2D", CONV, {"kernel": array(3, 5, 2, 8), "bias": array(8)}),
    "bn": ("BatchNormalization", {}, {"gamma": array(8), "moving_mean": array(8)}),
    "dw": ("DepthwiseConv2D", {"strides": 2, "padding": "valid"}, {"depthwise_kernel": array(3, 3, 8, 2)}),
    "sep": ("SeparableConv2D", {"strides": [1, 1]},
            {"depthwise_kernel": array(3, 3, 4, 2), "pointwise_kernel": array(1, 1, 8, 5), "bias": array(5)}),
    "up": ("Conv2DTranspose", {"strides": [2, 2]}, {"kernel": array(2, 2, 6, 4), "bias": array(6)}),
    "line": ("Conv1D", {"padding": "causal", "dilation_rate": 2, "strides": [1]}, {"kernel": array(3, 4, 4)}),
    "cube": ("Conv3D", {}, {"kernel": array(2, 3, 4, 1, 7)}),
    "top": ("Dense", {}, {"kernel": array(8, 3), "bias": array(3)}),
    "cell": ("ConvLSTM2D", {}, {"kernel": array(3, 3, 2, 16), "recurrent_kernel": array(3, 3, 4, 16)}),
}  # fmt: skip
SNAKE = {"stem": "conv2d", "bn": "batch_normalization", "dw": "depthwise_conv2d", "sep": "separable_conv2d",
         "up": "conv2d_transpose", "line": "conv1d", "cube": "conv3d", "top": "dense",
         "cell": "conv_lstm2_d"}  # fmt: skip


def torch_order(layer: str, leaf: str, kernel: np.ndarray) -> np.ndarray:
    """Return a kernel as `[out, in/groups, *k]`."""
    outer = np.moveaxis(kernel, (-2, -1), (0, 1))
    if leaf == "depthwise_kernel":
        return np.ascontiguousarray(outer.reshape(-1, 1, *kernel.shape[:-2]))
    return np.ascontiguousarray(outer if layer == "up" else outer.swapaxes(0, 1))


KERNELS = {
    (layer, leaf): torch_order(layer, leaf, value)
    for layer, (_, _, arrays) in NETWORK.items()
    for leaf, value in arrays.items()
    if "kernel" in leaf and layer not in ("top", "cell")
}


def config() -> str:
    """The description of the model: half of the layers in a model of their own."""
    described = [
        {"class_name": cls, "name": name, "config": {"name": name, **given}}
        for name, (cls, given, _) in NETWORK.items()
    ]
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": described[4:]}}
    wrapped = {"class_name": "TimeDistributed", "config": {"name": "wrapper", "layer": described[3]}}
    return json.dumps({"class_name": "Functional", "config": {"name": "m", "layers": [*described[:3], wrapped, inner]}})


def keras2(*, whole: bool = True, **options: Any) -> bytes:
    """A `.h5` of Keras 2: a model with its description, or weights alone."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        weights = file.create_group("model_weights") if whole else file
        weights.attrs["layer_names"] = list(NETWORK)
        if whole:
            file.attrs["model_config"] = config()
            file["optimizer_weights/Adam/stem/kernel/m:0"] = array(3, 5, 2, 8)
        for layer, (_, _, arrays) in NETWORK.items():
            for leaf, value in arrays.items():
                weights.create_dataset(f"{layer}/{layer}/{leaf}:0", data=value, **options)
    return buffer.getvalue()


def keras3(*, named: bool = True) -> bytes:
    """A `.weights.h5` of Keras 3: folders by class, arrays by number."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for layer, (_, _, arrays) in NETWORK.items():
            group = file.create_group(f"layers/{SNAKE[layer]}/vars")
            if named:
                group.attrs["name"] = layer
            for index, value in enumerate(arrays.values()):
                group[str(index)] = value
        file["optimizer/vars/0"] = array(3, 5, 2, 8)
    return buffer.getvalue()


def archive(files: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return buffer.getvalue()


def read(reader: KerasHdf5Reader | KerasArchiveReader, data: bytes) -> dict[str, StoredTensor]:
    file = MemoryFile(data, "m.h5")
    assert reader.can_read(file)
    return {tensor.name: tensor for tensor in reader.tensors(OneFile(file))}


def value_of(tensor: StoredTensor) -> np.ndarray:
    """Return a kernel as `[out, in/groups, *k]`."""
    assert tensor.location is not None
    raw = tensor.location.read(tuple((0, size) for size in tensor.shape))
    value = raw.reshape(-1).view("<f4").reshape(tensor.shape)
    transposed = tensor.convolution is not None and tensor.convolution.transposed
    return np.ascontiguousarray(value.swapaxes(0, 1) if transposed else value)


WHOLE = keras2()
FILES = {
    "a model of Keras 2": (HDF5, WHOLE),
    "a compressed model": (HDF5, keras2(compression="gzip", shuffle=True, chunks=True)),
    "a chunked model": (HDF5, keras2(chunks=True)),
    "an archive": (ARCHIVE, archive({"metadata.json": "{}", "config.json": config(), "model.weights.h5": keras3()})),
}


@pytest.mark.parametrize("kind", FILES)
def test_kernels_and_their_operators_are_those_of_the_layers(kind: str) -> None:
    found = read(*FILES[kind])
    kernels = {tensor.layer: tensor for tensor in found.values() if tensor.convolution is not None}
    assert kernels.keys() == {layer for layer, _ in KERNELS}
    values = {value_of(tensor).tobytes() for tensor in found.values() if tensor.convolution is not None}
    assert values == {kernel.tobytes() for kernel in KERNELS.values()}

    def stated(op: str, groups: int, **settings: Any) -> Convolution:
        return Convolution(op=op, groups=groups, learned=True, source="keras_config", **settings)  # type: ignore[arg-type]

    assert kernels["stem"].convolution == stated("conv2d", 2, stride=(1, 1), padding=(1, 2), dilation=(1, 1))
    assert kernels["dw"].convolution == stated("conv2d", 8, stride=(2, 2), padding=(0, 0))
    assert kernels["up"].convolution == stated("conv_transpose2d", 1, stride=(2, 2))
    assert kernels["line"].convolution == stated("conv1d", 1, stride=(1,), padding=(4, 0), dilation=(2,))
    assert kernels["cube"].convolution == stated("conv3d", 1)
    reasons = {name: tensor.reason for name, tensor in found.items() if tensor.reason}
    assert {reason for name, reason in reasons.items() if "optimizer" in name} <= {"optimizer_state"}
    assert set(reasons.values()) >= {"bias", "norm", "linear", "recurrent"}
    assert all(reasons[name] == "bias" for name in reasons if "top" in name and "bias" in name)


@pytest.mark.parametrize("named", [True, False])
def test_weights_alone_are_told_by_the_default_names_of_classes(named: bool) -> None:
    values = {value_of(tensor).tobytes() for tensor in read(HDF5, keras3(named=named)).values() if tensor.layout}
    assert values == {kernel.tobytes() for kernel in KERNELS.values()}


def described(cls: str, package: str = "keras.layers", **settings: Any) -> dict[str, Any]:
    """A layer in the description of a model of Keras 3."""
    registered = None if package == "keras.layers" else f"{package}>{cls}"
    return {"module": package, "class_name": cls, "registered_name": registered, "config": settings}


def without_names(model: list[dict[str, Any]], arrays: Mapping[str, np.ndarray]) -> dict[str, StoredTensor]:
    """Read an archive of the first versions of Keras 3, whose folders have no names of layers."""
    top = json.dumps(described("Functional", layers=model))
    weights = plain(**{f"layers/{folder}/vars/0": value for folder, value in arrays.items()})
    found = read(ARCHIVE, archive({"config.json": top, "model.weights.h5": weights}))
    return {name.split("/")[-3]: tensor for name, tensor in found.items()}


def test_the_classes_of_a_description_decide_where_folders_have_no_names() -> None:
    kernel, up = array(3, 3, 4, 8), array(3, 3, 6, 8)
    settings = {"strides": [2, 2], "groups": 1}
    model = [
        described("Conv2D", name="stem", **settings),
        described("Conv2DTranspose", name="conv2d", **settings),  # a name that is the folder of another layer
        described("DepthwiseConv2D", name="a"), described("DepthwiseConv2D", name="b"),
        described("MyConv", "my", name="x"), described("MyConv", "my", name="y"),
        described("ScaledConv2D", "my", name="z", kernel_size=[3, 3]),
        described("LayerScale", "my", name="norm"),
    ]  # fmt: skip
    found = without_names(model, {
        "conv2d": kernel, "conv2d_transpose": up, "depthwise_conv2d_1": array(3, 3, 8, 2), "my_conv": kernel,
        "my_conv_1": kernel, "scaled_conv2d": kernel,
    })  # fmt: skip
    stated = {name: tensor.convolution for name, tensor in found.items() if tensor.convolution is not None}
    assert stated == {
        "conv2d": Convolution(op="conv2d", groups=1, stride=(2, 2), learned=True, source="keras_config"),
        "conv2d_transpose": Convolution(
            op="conv_transpose2d", groups=1, stride=(2, 2), learned=True, source="keras_config"
        ),
    }
    assert [found[name].layer for name in stated] == ["stem", "conv2d"]
    assert {name: tensor.layout for name, tensor in found.items()} == {
        "conv2d": "kio", "conv2d_transpose": "koi", "depthwise_conv2d_1": "kim", "my_conv": None, "my_conv_1": None,
        "scaled_conv2d": "kio",
    }  # fmt: skip
    assert found["my_conv"].reason == found["my_conv_1"].reason == "nonstandard_operator"
    inner = without_names(model, {"layer_scale/conv2d": kernel})["conv2d"]  # made by the code of a class
    assert (inner.layout, inner.convolution) == ("kio", None)


@pytest.mark.parametrize(
    ("layer", "path", "reason"),
    [
        ({"class_name": "my>Conv2D", "config": {"name": "a"}}, "a/a/kernel:0", "nonstandard_operator"),
        ({"class_name": "my>Conv2D", "config": {"name": "a", "kernel_size": 3}}, "a/a/kernel:0", None),
        ({"class_name": "my>Block", "config": {"name": "a"}}, "a/a/conv2d_1/kernel:0", None),
        ({"class_name": "my>Wrapper", "config": {"name": "a", "layer": {}}}, "a/a/kernel:0", None),
    ],
)
def test_a_class_of_its_own_is_no_proven_convolution(layer: dict[str, Any], path: str, reason: str | None) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Functional", "config": {"name": "m", "layers": [layer]}}
        )
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = ["a"]
        weights[path] = array(3, 3, 4, 8)
    (tensor,) = read(HDF5, buffer.getvalue()).values()
    assert (tensor.reason, tensor.convolution) == (reason, None)


def test_weights_of_keras_2_alone_are_told_by_their_names() -> None:
    found = read(HDF5, keras2(whole=False))
    kernels = {name: tensor for name, tensor in found.items() if tensor.layout}
    assert {name.split("/")[0] for name in kernels} == {"stem", "dw", "sep", "up", "cube"}
    for name, tensor in kernels.items():
        layer, leaf = name.split("/")[0], name.split("/")[2].removesuffix(":0")
        assert value_of(tensor).tobytes() == KERNELS[layer, leaf].tobytes()
    assert found["line/line/kernel:0"].reason == "unknown_layout"
    assert found["cell/cell/kernel:0"].reason == "recurrent"


def test_numbers_are_read_only_when_they_are_wanted() -> None:
    buffer = io.BytesIO()
    big = {f"conv{i}/kernel:0": array(3, 3, 64, 64) for i in range(8)}
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [name.split("/")[0] for name in big]
        for name, value in big.items():
            file[name] = value
    wanted = WantedFile(buffer.getvalue())
    tensors = list(HDF5.tensors(OneFile(wanted)))
    assert sum(stop - start for start, stop in wanted.reads) < 40_000 < wanted.size
    wanted.forget()
    want_all(tensors)
    assert {value_of(tensor).tobytes() for tensor in tensors} == {
        torch_order("", "kernel", value).tobytes() for value in big.values()
    }
    assert wanted.unwanted == []


def plain(**data: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in data.items():
            file[name] = value
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"\x89HDF\r\n\x1a\n" + bytes(64), plain(kernel=array(3, 3, 3, 8)), archive({"config.json": "{}"})]
)
def test_other_files_are_not_claimed(data: bytes) -> None:
    assert not HDF5.can_read(MemoryFile(data))
    assert not ARCHIVE.can_read(MemoryFile(data))


@pytest.mark.parametrize(
    ("description", "weights", "message"),
    [("{}", keras3(), "no class_name"), ("[", keras3(), "not valid JSON"), (config(), plain(w=array(2)), "no groups"),
     (config(), b"\x89HDF\r\n\x1a\n" + bytes(64), "invalid HDF5")],
)  # fmt: skip
def test_archives_that_are_no_models_are_refused(description: str, weights: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(ARCHIVE, archive({"config.json": description, "model.weights.h5": weights}))


def test_links_and_other_files_are_never_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["kernel"] = array(3, 3, 3, 8)
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["conv"]
        file["conv/kernel"] = h5py.ExternalLink("other.h5", "kernel")
        file["conv/soft"] = h5py.SoftLink("/conv/loop")
        file["conv/loop"] = file["conv"]
        file.create_dataset("conv/raw", (2, 2), "f4", external=[(str(tmp_path / "raw"), 0, 16)])
    found = read(HDF5, path.read_bytes())
    assert {name: tensor.reason for name, tensor in found.items()} == {"conv/raw": "unreadable"}


def test_a_small_file_cannot_claim_much_memory() -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = ["conv"]
        file.create_dataset("conv/kernel", (1 << 12, 1 << 12, 2, 2), "f4", chunks=(64, 64, 2, 2), compression="gzip")
    with pytest.raises(CheckpointError, match="claims"):
        read(HDF5, buffer.getvalue())


@settings(max_examples=100, deadline=None)
@given(damaged(WHOLE, cut=True))
def test_damaged_files_never_break_the_reader(broken: bytes) -> None:
    file = MemoryFile(broken, "x.h5")
    with suppress(CheckpointError):
        if HDF5.can_read(file):
            for tensor in HDF5.tensors(OneFile(file)):
                if tensor.location is not None:
                    tensor.location.read(tuple((0, min(1, size)) for size in tensor.shape))


def test_sync_reads_keras(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    (zoo / "m.h5").write_bytes(WHOLE)
    (zoo / "m.keras").write_bytes(FILES["an archive"][1])
    run_sync()
    rows = models(dataset)
    assert {name: row["format"] for name, row in rows.items()} == {"local/m.h5": "keras-h5", "local/m.keras": "keras"}
    spatial = {kernel.tobytes() for kernel in KERNELS.values() if kernel[0, 0].size > 1}
    assert {row["n_layers"] for row in rows.values()} == {len(spatial)}
    assert {weight.tobytes() for weight in layers(dataset).values()} == spatial  # stored once
