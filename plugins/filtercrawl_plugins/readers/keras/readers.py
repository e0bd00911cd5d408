"""The readers of Keras files; see `filtercrawl.api.Reader` for the methods."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from filtercrawl.api.errors import CheckpointError, FormatError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.reader import Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.hdf5 import SIGNATURE
from filtercrawl_plugins.formats.zip import ZipArchive, read_directory
from filtercrawl_plugins.readers.arrays.axis_order import arrange_arrays
from filtercrawl_plugins.readers.arrays.names import JAX_LEAVES
from filtercrawl_plugins.readers.keras.config import LayerConfig, ModelConfig, parse_config
from filtercrawl_plugins.readers.keras.datasets import Hdf5Arrays, StoredDataset
from filtercrawl_plugins.readers.keras.following_norm import LayerArray, attach_norms, following_layers
from filtercrawl_plugins.readers.keras.layers import class_by_name, describe, is_no_convolution

CONFIG_NAME: Final = "config.json"
WEIGHTS_NAME: Final = "model.weights.h5"
MAX_CONFIG_BYTES: Final = 64 << 20
# Where Keras 1 and 2 put the weights of a whole model, and where any version puts the state of the optimizer.
_MODEL_GROUP: Final = "model_weights"
_OPTIMIZER_GROUPS: Final = ("optimizer", "optimizer_weights")
# Group of the numbered arrays of a layer in Keras 3.
_NUMBERED_GROUP: Final = "vars"


class KerasHdf5Reader:
    """Reads weights and whole models that Keras saves as HDF5."""

    name = "keras-h5"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is HDF5 with the groups and attributes that Keras writes."""
        if file.size < len(SIGNATURE) or file.read(0, len(SIGNATURE)) != SIGNATURE:
            return False
        try:
            return is_keras(Hdf5Arrays(file))
        except CheckpointError:
            return False

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        """Return ()."""
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the arrays in the order of their names, kernels arranged as in torch; raises CheckpointError."""
        arrays = Hdf5Arrays(files.main)
        config = arrays.text("", "model_config")
        model = ModelConfig() if config is None else parse_config(config, files.main.name)
        yield from describe_arrays(arrays, model)


class KerasArchiveReader:
    """Reads the zip archives of Keras 3: a configuration, and the weights as HDF5."""

    name = "keras"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a zip archive with the two files of a Keras model."""
        if file.size < 4 or file.read(0, 4) != b"PK\3\4":
            return False
        try:
            return {CONFIG_NAME, WEIGHTS_NAME} <= read_directory(file).entries.keys()
        except CheckpointError:
            return False

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        """Return ()."""
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the arrays in the order of their names, kernels arranged as in torch; raises CheckpointError."""
        budget = Budget(files.main)
        archive = ZipArchive(files.main, budget)
        model = parse_config(archive.read(CONFIG_NAME, MAX_CONFIG_BYTES), files.main.name)
        arrays = Hdf5Arrays(archive.open(WEIGHTS_NAME), budget)
        if not is_keras(arrays):
            raise FormatError(f"{files.main.name}: its {WEIGHTS_NAME} has no groups of a Keras model")
        yield from describe_arrays(arrays, model)


def is_keras(arrays: Hdf5Arrays) -> bool:
    """Return whether an HDF5 file has the marks of Keras: names of layers, or groups of numbered arrays."""
    if arrays.has_attribute("", "layer_names") or arrays.has_attribute(_MODEL_GROUP, "layer_names"):
        return True
    return any(arrays.has(group) for group in ("layers", "_layer_checkpoint_dependencies", _NUMBERED_GROUP))


def describe_arrays(arrays: Hdf5Arrays, model: ModelConfig) -> Iterator[StoredTensor]:
    """Yield the arrays of a file with what the classes of their layers prove; names decide about the rest."""
    found: list[StoredTensor | None] = []
    owned: list[LayerArray | None] = []
    unknown: list[StoredTensor] = []
    for dataset in arrays.arrays():
        array = KerasArray.parse(dataset)
        tensor: StoredTensor | None = array.tensor()
        if tensor is not None and tensor.reason is None:
            described = array.describe(tensor, model)
            if described is None:
                unknown.append(tensor)
            tensor = described
        found.append(tensor)
        is_known = tensor is not None and tensor.reason not in ("unreadable", "optimizer_state")
        owned.append(array.layer_array(model) if is_known else None)
    # The conventions of names are those of arrays that have a name.
    named = arrange_arrays(replace(tensor, name=conventional_name(tensor)) for tensor in unknown)
    arranged = (replace(one, name=tensor.name) for one, tensor in zip(named, unknown, strict=True))
    tensors = [next(arranged) if tensor is None else tensor for tensor in found]
    yield from attach_norms(tensors, owned, following_layers(model.description))


def conventional_name(tensor: StoredTensor) -> str:
    """Return the name of an array, with `kernel` and `bias` in place of the numbers of Keras 3."""
    above, _, leaf = tensor.name.rpartition("/")
    if not leaf.isdigit():
        return tensor.name
    leaf = "kernel" if leaf == "0" and len(tensor.shape) >= 3 else "bias" if leaf == "1" else leaf
    return f"{above}/{leaf}"


@dataclass(frozen=True, kw_only=True)
class KerasArray:
    """An array and the components of its path.

    Attributes:
        dataset: The array.
        root: The group of the model or of the optimizer, () if the file has none.
        groups: Groups below it, without `vars`.
        leaf: Name or number of the array in its layer.
        numbered: Whether the layer numbers its arrays, as in Keras 3.
    """

    dataset: StoredDataset
    root: tuple[str, ...]
    groups: tuple[str, ...]
    leaf: str
    numbered: bool

    @classmethod
    def parse(cls, dataset: StoredDataset) -> KerasArray:
        """Take a path apart."""
        *groups, leaf = dataset.path.split("/")
        root: tuple[str, ...] = ()
        if groups and groups[0] in (_MODEL_GROUP, *_OPTIMIZER_GROUPS):
            root, groups = (groups[0],), groups[1:]
        numbered = bool(groups) and groups[-1] == _NUMBERED_GROUP
        return cls(
            dataset=dataset,
            root=root,
            groups=tuple(groups[:-1] if numbered else groups),
            leaf=re.sub(r":\d+$", "", leaf),
            numbered=numbered,
        )

    def tensor(self) -> StoredTensor:
        """Return the record of the array, its axes in the order of the file."""
        dataset = self.dataset
        optimizer = bool(self.root) and self.root[0] in _OPTIMIZER_GROUPS
        return StoredTensor(
            name=dataset.path,
            key=".".join((*self.groups, self.leaf)),
            root=self.root,
            shape=dataset.shape,
            dtype=dataset.dtype,
            location=dataset.location,
            reason="unreadable" if dataset.location is None else "optimizer_state" if optimizer else None,
        )

    def describe(self, tensor: StoredTensor, model: ModelConfig) -> StoredTensor | None:
        """Return the array with what its layer proves, None if the class of the layer is unknown."""
        own = self._own_layer(model)
        name, layer = own if own is not None else self._layer_above(model)
        described = None if layer is None else describe(tensor, layer, self.leaf)
        may_be_kernel = len(tensor.shape) >= 3 and (self.leaf == "0" or self.leaf in JAX_LEAVES)
        if described is None and own is not None and is_no_convolution(own[1]) and may_be_kernel:
            return replace(tensor, reason="nonstandard_operator")
        if described is None or described.convolution is None:
            return described
        return replace(described, layer=name)

    def layer_array(self, model: ModelConfig) -> LayerArray | None:
        """Return what the array is in its layer, None if the model does not describe that."""
        own = self._own_layer(model)
        return None if own is None else LayerArray(name=own[0], layer=own[1], leaf=self.leaf)

    def _own_layer(self, model: ModelConfig) -> tuple[str, LayerConfig] | None:
        """Return name and description of the layer that holds the array, None if the model does not describe it."""
        if self._named_by_class:
            layer = model.of_folder(self.groups)
            return None if layer is None else (str(layer.settings.get("name", self.groups[-1])), layer)
        name = self.dataset.group_name or (self.groups[-1] if self.groups else "")
        return (name, model.by_name[name]) if name in model.by_name else None

    def _layer_above(self, model: ModelConfig) -> tuple[str, LayerConfig | None]:
        """Return name and description of the nearest layer that the model describes, else by a default name."""
        names = [name for name in (self.dataset.group_name, *reversed(self.groups)) if name]
        for end in range(len(self.groups), 0, -1):
            if self.numbered and self.dataset.group_name:
                break
            name, above = self.groups[end - 1], self.groups[:end]
            layer = model.of_folder(above) if self._named_by_class else model.by_name.get(name)
            if layer is not None:
                return name, layer
        if self.numbered and self.groups and self.groups[-1] not in ("layer", "cell"):
            names.insert(0, self.groups[-1])  # folders of layers are named by their classes
        cls = next((cls for name in names[:2] if (cls := class_by_name(name)) is not None), None)
        return "", None if cls is None else LayerConfig(cls=cls)

    @property
    def _named_by_class(self) -> bool:
        """Whether the folders are named by the classes of layers alone, as in the first versions of Keras 3."""
        return self.numbered and self.dataset.group_name is None
