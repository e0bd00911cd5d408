"""The readers of the three formats of torch; see `filtercrawl.api.Reader` for the methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.reader import CheckpointContent, Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle.objects import PickledStorage
from filtercrawl_plugins.readers.torch.distributed_chunks import load_archive
from filtercrawl_plugins.readers.torch.legacy import is_legacy, is_tar, load_legacy
from filtercrawl_plugins.readers.torch.quantized_state import is_packed, packed_uses
from filtercrawl_plugins.readers.torch.storage import LoadedObject, LocateStorage, StorageRegion
from filtercrawl_plugins.readers.torch.tensor_locator import TensorLocator
from filtercrawl_plugins.readers.torch.tensor_walk import FoundTensor, TensorPath, TensorWalk
from filtercrawl_plugins.readers.torch.torchscript import TorchScriptCode
from filtercrawl_plugins.readers.torch.weight_uses import WeightUses
from filtercrawl_plugins.readers.torch.zip_file import PICKLE_NAME, TorchArchive, archive_kind
from filtercrawl_plugins.readers.training_state import training_state

# Integers of the configuration of a packed weight: at most three axes.
MAX_CONFIG: Final = 16
# Steps of opening a file inside of a checkpoint.
EMBEDDED_COST: Final = 500


class TorchReader:
    """What the three readers share: a torch file is complete in itself."""

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Return ()."""
        del file
        return ()


class TorchZip(TorchReader):
    """Reads the zip archives that `torch.save` writes since version 1.6."""

    name = "torch-zip"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a zip archive of torch without code."""
        return archive_kind(file) == self.name

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor of the object; nothing is yielded before the whole file has been checked."""
        yield from self.read_content(files).tensors

    def read_content(self, files: Files) -> CheckpointContent:
        """Return every tensor of the object, and the training state beside them."""
        budget = Budget(files.main)
        return content_of(files.main, TorchArchive(files.main, budget).load_pickle(PICKLE_NAME, "data"), budget)


class TorchLegacy(TorchReader):
    """Reads the sequences of pickles that `torch.save` wrote before version 1.6."""

    name = "torch-legacy"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file starts with the magic number, or is a tar archive of torch, which `tensors` refuses."""
        return is_legacy(file) or is_tar(file)

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor of the object; nothing is yielded before the whole file has been checked."""
        yield from self.read_content(files).tensors

    def read_content(self, files: Files) -> CheckpointContent:
        """Return every tensor of the object, and the training state beside them."""
        budget = Budget(files.main)
        return content_of(files.main, load_legacy(files.main, budget), budget)


class TorchScript(TorchReader):
    """Reads the tensors of TorchScript archives without running their code."""

    name = "torchscript"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a zip archive of torch with code or constants."""
        return archive_kind(file) == self.name

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the attributes of the module, then the constants of its code: weights, or the reason `constant`."""
        yield from self.read_content(files).tensors

    def read_content(self, files: Files) -> CheckpointContent:
        """Return the tensors that `tensors` yields, and the code that the pickles name."""
        file = files.main
        budget = Budget(file)
        archive = TorchArchive(file, budget)
        code = TorchScriptCode(archive.archive, archive.root)
        walk = TensorWalk(file.name, budget, code.describe_module)
        loaded = archive.load_pickle(PICKLE_NAME, "data")
        locator = TensorLocator(file, loaded.locate_storage, budget)
        held = list(walk.tensors(loaded.value, TensorPath()))
        tensors = list(with_packed_weights(held, [locator.locate(found) for found in held]))
        if archive.has_entry("constants.pkl"):
            loaded = archive.load_pickle("constants.pkl", "constants")
            locator.locate_storage = loaded.locate_storage
            held = list(walk.tensors(loaded.value, TensorPath(path=("constants",))))
            constants = with_packed_weights(held, [locator.locate(found, "constant") for found in held])
            tensors.extend(described_constants(list(constants), code))
        return CheckpointContent(tensors=tuple(tensors), code=tuple(budget.code))


def with_packed_weights(found: Sequence[FoundTensor], stored: Sequence[StoredTensor]) -> Iterator[StoredTensor]:
    """Yield the tensors of an archive; packed weights of quantized convolutions with their convolution.

    Args:
        found: The tensors with their paths.
        stored: Their records.
    """
    owners = [one.path.path[:-1] if one.path.owner and is_packed(one.path.owner.cls) else None for one in found]
    uses = {}
    for owner, one, tensor in zip(owners, found, stored, strict=True):
        if owner is not None and one.path.path[-1] == "config":
            uses[owner] = packed_uses(read_config(tensor))
    for owner, one, tensor in zip(owners, found, stored, strict=True):
        convolution = tensor.convolution
        if owner in uses and one.path.path[-1] == "weight":
            convolution = uses[owner].convolution("weight", len(tensor.shape) - 2, learned=None)
        if owner is None or convolution is None or tensor.location is None:
            yield tensor
        else:
            yield replace(tensor, reason=None, rule=None, layer=".".join(owner), convolution=convolution)


def read_config(tensor: StoredTensor) -> tuple[int, ...]:
    """Return the integers of the configuration of a packed weight, () if it is none."""
    if tensor.location is None or tensor.dtype != "int16" or len(tensor.shape) != 1 or tensor.shape[0] > MAX_CONFIG:
        return ()
    return tuple(np.frombuffer(tensor.location.read(((0, tensor.shape[0]),)).tobytes(), "<i2").tolist())


def described_constants(constants: Sequence[StoredTensor], code: TorchScriptCode) -> Iterator[StoredTensor]:
    """Yield the constants of an archive; those that its code uses as weights of convolutions without a reason.

    Args:
        constants: The tensors of `constants.pkl`, with a reason.
        code: The code, which is read if a constant has the number of axes of a weight.
    """
    uses = code.constant_uses() if any(3 <= len(tensor.shape) <= 5 for tensor in constants) else WeightUses()
    for tensor in constants:
        convolution = uses.convolution(f"CONSTANTS.c{tensor.key}", len(tensor.shape) - 2, learned=None)
        if convolution is None or tensor.reason != "constant":
            yield replace(tensor, rule="code" if tensor.reason == "constant" else tensor.rule)
        else:
            yield replace(tensor, reason=None, rule=None, layer=tensor.name, convolution=convolution)


def content_of(file: RandomAccessFile, loaded: LoadedObject, budget: Budget) -> CheckpointContent:
    """Return every tensor of a loaded object, and the training state beside them."""
    tensors = tuple(locate_tensors(file, loaded, budget))
    return CheckpointContent(tensors=tensors, training=training_state(loaded.value), code=tuple(budget.code))


def locate_tensors(file: RandomAccessFile, loaded: LoadedObject, budget: Budget) -> list[StoredTensor]:
    """Return every tensor of a loaded object, in order."""
    locator = TensorLocator(file, with_embedded_storages(loaded.locate_storage, file.name, budget), budget)
    return [locator.locate(found) for found in TensorWalk(file.name, budget).tensors(loaded.value, TensorPath())]


def with_embedded_storages(locate: LocateStorage, name: str, budget: Budget) -> LocateStorage:
    """Extend a locator to storages that are pickled as complete torch files, one level deep.

    Args:
        locate: Locates all other storages.
        name: Name of the file, for messages.
        budget: The budget of the checkpoint, which the embedded files share.
    """
    opened: dict[int, StorageRegion] = {}

    def locate_embedded(storage: PickledStorage) -> StorageRegion:
        if storage.embedded is None:
            return locate(storage)
        key = id(storage.embedded)
        if key not in opened:
            data = storage.embedded
            file = MemoryFile(data, name) if isinstance(data, bytes) else data.open(data.length)
            budget.spend(EMBEDDED_COST)
            inner = load_archive(file, budget)
            if not isinstance(inner.value, PickledStorage) or inner.value.embedded is not None:
                raise FormatError(f"{name}: an embedded storage is not a storage")
            opened[key] = inner.locate_storage(inner.value)
        return opened[key]

    return locate_embedded
