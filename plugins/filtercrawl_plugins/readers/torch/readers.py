"""The readers of the three formats of torch; see `filtercrawl.api.Reader` for the methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.source import Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.formats.pickle.objects import PickledStorage
from filtercrawl_plugins.readers.torch.legacy import is_legacy, is_tar, load_legacy
from filtercrawl_plugins.readers.torch.script_calls import WeightUses
from filtercrawl_plugins.readers.torch.storage import LoadedObject, LocateStorage, StorageRegion
from filtercrawl_plugins.readers.torch.tensor_locator import TensorLocator
from filtercrawl_plugins.readers.torch.tensor_walk import TensorPath, TensorWalk
from filtercrawl_plugins.readers.torch.torchscript import TorchScriptCode
from filtercrawl_plugins.readers.torch.zip_file import PICKLE_NAME, TorchArchive, archive_kind


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
        yield from locate_tensors(files.main, TorchArchive(files.main).load_pickle(PICKLE_NAME, "data"))


class TorchLegacy(TorchReader):
    """Reads the sequences of pickles that `torch.save` wrote before version 1.6."""

    name = "torch-legacy"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file starts with the magic number, or is a tar archive of torch, which `tensors` refuses."""
        return is_legacy(file) or is_tar(file)

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor of the object; nothing is yielded before the whole file has been checked."""
        yield from locate_tensors(files.main, load_legacy(files.main))


class TorchScript(TorchReader):
    """Reads the tensors of TorchScript archives without running their code."""

    name = "torchscript"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a zip archive of torch with code or constants."""
        return archive_kind(file) == self.name

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the attributes of the module, then the constants of its code: weights, or the reason `constant`."""
        file = files.main
        archive = TorchArchive(file)
        code = TorchScriptCode(archive.archive, archive.root)
        walk = TensorWalk(file.name, code.describe_module)
        loaded = archive.load_pickle(PICKLE_NAME, "data")
        locator = TensorLocator(file, loaded.locate_storage)
        tensors = [locator.locate(found) for found in walk.tensors(loaded.value, TensorPath())]
        if archive.has_entry("constants.pkl"):
            loaded = archive.load_pickle("constants.pkl", "constants")
            locator.locate_storage = loaded.locate_storage
            found = walk.tensors(loaded.value, TensorPath(path=("constants",)))
            tensors.extend(described_constants([locator.locate(constant, "constant") for constant in found], code))
        yield from tensors


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


def locate_tensors(file: RandomAccessFile, loaded: LoadedObject) -> list[StoredTensor]:
    """Return every tensor of a loaded object, in order."""
    locator = TensorLocator(file, with_embedded_storages(loaded.locate_storage, file.name))
    return [locator.locate(found) for found in TensorWalk(file.name).tensors(loaded.value, TensorPath())]


def with_embedded_storages(locate: LocateStorage, name: str) -> LocateStorage:
    """Extend a locator to storages that are pickled as complete torch files, one level deep.

    Args:
        locate: Locates all other storages.
        name: Name of the file, for messages.
    """
    opened: dict[int, StorageRegion] = {}

    def locate_embedded(storage: PickledStorage) -> StorageRegion:
        if storage.embedded is None:
            return locate(storage)
        key = id(storage.embedded)
        if key not in opened:
            data = storage.embedded
            file = MemoryFile(data, name) if isinstance(data, bytes) else data.open(data.length)
            inner = load_legacy(file) if is_legacy(file) else TorchArchive(file).load_pickle(PICKLE_NAME, "data")
            if not isinstance(inner.value, PickledStorage) or inner.value.embedded is not None:
                raise FormatError(f"{name}: an embedded storage is not a storage")
            opened[key] = inner.locate_storage(inner.value)
        return opened[key]

    return locate_embedded
