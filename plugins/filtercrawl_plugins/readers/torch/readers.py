"""The three readers: each knows its own bytes, and all read objects and place tensors alike."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.source import Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.formats.pickle.objects import PickledStorage
from filtercrawl_plugins.readers.torch.legacy import is_legacy, is_tar, load_legacy
from filtercrawl_plugins.readers.torch.storage import LoadedObject, LocateStorage, StorageRegion, TensorLocator
from filtercrawl_plugins.readers.torch.tensor_walk import TensorPath, TensorWalk
from filtercrawl_plugins.readers.torch.torchscript import TorchScriptCode
from filtercrawl_plugins.readers.torch.zip_file import PICKLE_NAME, TorchArchive, archive_kind


class TorchReader:
    """What the readers share: one file holds all."""

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Return (): a torch file needs no other."""
        del file
        return ()


class TorchZip(TorchReader):
    """Reads zip archives of a pickle and its storages, as `torch.save` writes them since 2020."""

    name = "torch-zip"

    def can_read(self, file: RandomAccessFile) -> bool:
        return archive_kind(file) == self.name

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor that the object holds, once the whole file is known to be sound."""
        yield from locate_tensors(files.main, TorchArchive(files.main).load_pickle(PICKLE_NAME, "data"))


class TorchLegacy(TorchReader):
    """Reads streams of pickles, as `torch.save` wrote them until 2020."""

    name = "torch-legacy"

    def can_read(self, file: RandomAccessFile) -> bool:
        return is_legacy(file) or is_tar(file)

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor that the object holds, once the whole file is known to be sound."""
        yield from locate_tensors(files.main, load_legacy(files.main))


class TorchScript(TorchReader):
    """Reads the weights of TorchScript archives; their code is text and stays that."""

    name = "torchscript"

    def can_read(self, file: RandomAccessFile) -> bool:
        return archive_kind(file) == self.name

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the attributes of the module, then the constants of its code."""
        file = files.main
        contents = TorchArchive(file)
        walk = TensorWalk(file.name, TorchScriptCode(contents.archive, contents.root).describe_module)
        loaded = contents.load_pickle(PICKLE_NAME, "data")
        placer = TensorLocator(file, loaded.locate_storage)
        stored = [placer.locate(found) for found in walk.tensors(loaded.value, TensorPath())]
        if contents.has_entry("constants.pkl"):
            loaded = contents.load_pickle("constants.pkl", "constants")
            placer.locate_storage = loaded.locate_storage
            found = walk.tensors(loaded.value, TensorPath(path=("constants",)))
            stored.extend(placer.locate(constant, "constant") for constant in found)
        yield from stored


def locate_tensors(file: RandomAccessFile, loaded: LoadedObject) -> list[StoredTensor]:
    """Return every tensor of what one file holds, in order."""
    placer = TensorLocator(file, with_embedded(loaded.locate_storage, file.name))
    return [placer.locate(found) for found in TensorWalk(file.name).tensors(loaded.value, TensorPath())]


def with_embedded(locate: LocateStorage, name: str) -> LocateStorage:
    """Return `locate`, able to open storages that are files inside the pickle, one level deep."""
    opened: dict[int, StorageRegion] = {}

    def find(storage: PickledStorage) -> StorageRegion:
        if storage.embedded is None:
            return locate(storage)
        key = id(storage.embedded)
        if key not in opened:
            file = MemoryFile(storage.embedded, name)
            inner = load_legacy(file) if is_legacy(file) else TorchArchive(file).load_pickle(PICKLE_NAME, "data")
            if not isinstance(inner.value, PickledStorage) or inner.value.embedded is not None:
                raise FormatError(f"{name}: a storage of its own inside the pickle is none")
            opened[key] = inner.locate_storage(inner.value)
        return opened[key]

    return find
