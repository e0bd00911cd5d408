"""The three readers: each knows its own bytes, and all read objects and place tensors alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import MemoryFile, RangeFile
from filtercrawl_plugins.formats.pickle.nodes import Storage
from filtercrawl_plugins.readers.torch.legacy import is_legacy, is_tar, load_legacy
from filtercrawl_plugins.readers.torch.storage import Loaded, Locate, Placer, Region
from filtercrawl_plugins.readers.torch.tensor_walk import Place, Walk
from filtercrawl_plugins.readers.torch.torchscript import Code
from filtercrawl_plugins.readers.torch.zip_file import PICKLE, Contents, archive_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filtercrawl.api.source import Files
    from filtercrawl.api.tensor import StoredTensor


class TorchReader:
    """What the readers share: one file holds all."""

    def companions(self, file: RangeFile) -> tuple[str, ...]:
        """Return (): a torch file needs no other."""
        del file
        return ()


class TorchZip(TorchReader):
    """Reads zip archives of a pickle and its storages, as `torch.save` writes them since 2020."""

    name = "torch-zip"

    def claims(self, file: RangeFile) -> bool:
        return archive_kind(file) == self.name

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor that the object holds, once the whole file is known to be sound."""
        yield from placed(files.main, Contents(files.main).load(PICKLE, "data"))


class TorchLegacy(TorchReader):
    """Reads streams of pickles, as `torch.save` wrote them until 2020."""

    name = "torch-legacy"

    def claims(self, file: RangeFile) -> bool:
        return is_legacy(file) or is_tar(file)

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor that the object holds, once the whole file is known to be sound."""
        yield from placed(files.main, load_legacy(files.main))


class TorchScript(TorchReader):
    """Reads the weights of TorchScript archives; their code is text and stays that."""

    name = "torchscript"

    def claims(self, file: RangeFile) -> bool:
        return archive_kind(file) == self.name

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the attributes of the module, then the constants of its code."""
        file = files.main
        contents = Contents(file)
        walk = Walk(file.name, Code(contents.archive, contents.root).module)
        loaded = contents.load(PICKLE, "data")
        placer = Placer(file, loaded.locate)
        stored = [placer.stored(found) for found in walk.tensors(loaded.value, Place())]
        if contents.holds("constants.pkl"):
            loaded = contents.load("constants.pkl", "constants")
            placer.locate = loaded.locate
            found = walk.tensors(loaded.value, Place(path=("constants",)))
            stored.extend(placer.stored(constant, "constant") for constant in found)
        yield from stored


def placed(file: RangeFile, loaded: Loaded) -> list[StoredTensor]:
    """Return every tensor of what one file holds, in order."""
    placer = Placer(file, with_embedded(loaded.locate, file.name))
    return [placer.stored(found) for found in Walk(file.name).tensors(loaded.value, Place())]


def with_embedded(locate: Locate, name: str) -> Locate:
    """Return `locate`, able to open storages that are files inside the pickle, one level deep."""
    opened: dict[int, Region] = {}

    def find(storage: Storage) -> Region:
        if storage.embedded is None:
            return locate(storage)
        key = id(storage.embedded)
        if key not in opened:
            file = MemoryFile(storage.embedded, name)
            inner = load_legacy(file) if is_legacy(file) else Contents(file).load(PICKLE, "data")
            if not isinstance(inner.value, Storage) or inner.value.embedded is not None:
                raise FormatError(f"{name}: a storage of its own inside the pickle is none")
            opened[key] = inner.locate(inner.value)
        return opened[key]

    return find
