"""Archives of `torch.export.save` (`.pt2`): weights as raw bytes, their sizes and the graph as JSON.

All entries are in one folder of any name. `models/NAME.json` is a program, and `data/weights/NAME_weights_config.json`
says in which entry each of its tensors lies (`torch.export.pt2_archive`). Before torch 2.9 the tensors were one archive
of `torch.save`, `data/weights/NAME.pt`, and before 2.8 `serialized_state_dict.pt` beside
`serialized_exported_program.json`. No pickle is executed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from filtercrawl.api.errors import CheckpointError, FormatError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.reader import Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import FLOAT_DTYPES, ITEMSIZE, TensorLocation
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.json_text import parse_json
from filtercrawl_plugins.formats.zip import ZipArchive, read_directory
from filtercrawl_plugins.readers.torch.distributed_chunks import load_archive
from filtercrawl_plugins.readers.torch.exported_graph import WeightUses, weight_uses
from filtercrawl_plugins.readers.torch.readers import locate_tensors

# torch compresses nothing; what is compressed may be much larger than its file.
MAX_JSON_BYTES: Final = 64 << 20
MAX_INFLATED_JSON_BYTES: Final = 4 << 20
MAX_RANK: Final = 64
# `torch._export.serde.schema.ScalarType`.
DTYPES: Final = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn",
    30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 34: "uint32", 35: "uint64",
}  # fmt: skip
_FORMAT: Final = "archive_format"
_OLD_PROGRAM: Final = "serialized_exported_program.json"
_OLD_TENSORS: Final = {"weights": "serialized_state_dict.pt", "constants": "serialized_constants.pt"}


class ExportedProgramReader:
    """Reads exported programs; a tensor is named as in the state dict of the module that was exported."""

    name = "torch-export"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a zip archive with the entries of an exported program."""
        if file.size < 4 or file.read(0, 4) != b"PK\3\4":
            return False
        try:
            names = read_directory(file).entries
        except CheckpointError:
            return False
        return _OLD_PROGRAM in names or any(name.endswith(f"/{_FORMAT}") and name.count("/") == 1 for name in names)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Return ()."""
        del file
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the tensors of each program, those of its state dict before its constants.

        Raises:
            CheckpointError: The archive is damaged, or contains no program but a compiled one.
        """
        archive = ZipArchive(files.main, Budget(files.main))
        if _OLD_PROGRAM in archive.entries:
            uses = weight_uses(_read_json(archive, _OLD_PROGRAM))
            for kind, path in _OLD_TENSORS.items():
                if path in archive.entries:
                    yield from _described(_pickled(archive, path, kind), uses)
            return
        root = next(name.removesuffix(_FORMAT) for name in archive.entries if name.endswith(f"/{_FORMAT}"))
        if f"{root}byteorder" in archive.entries and archive.read(f"{root}byteorder", 16) != b"little":
            raise UnsupportedError(f"{files.main.name}: its numbers are big-endian; save it on a little-endian machine")
        folder = f"{root}models/"
        programs = [name for name in archive.entries if name.startswith(folder) and name.endswith(".json")]
        if not programs:
            raise FormatError(
                f"{files.main.name}: a package of compiled code (AOTInductor), which holds no weights of a program; "
                "save the exported program with torch.export.save"
            )
        for program in programs:
            model = program.removeprefix(folder).removesuffix(".json")
            uses = weight_uses(_read_json(archive, program))
            kinds = (_stored(archive, f"{root}data/", kind, model) for kind in ("weights", "constants"))
            described = _described(chain.from_iterable(kinds), uses)
            yield from described if len(programs) == 1 else (_named_below(tensor, model) for tensor in described)


def _stored(archive: ZipArchive, root: str, kind: str, model: str) -> Iterator[StoredTensor]:
    """Yield the `weights` or the `constants` of a program."""
    folder = f"{root}{kind}/"
    if f"{folder}{model}.pt" in archive.entries:
        yield from _pickled(archive, f"{folder}{model}.pt", kind)
        return
    path = f"{folder}{model}_{kind}_config.json"
    if path not in archive.entries and kind == "constants":
        return
    config = _read_json(archive, path)
    entries = config.get("config") if isinstance(config, dict) else None
    if not isinstance(entries, dict):
        raise FormatError(f"{archive.file.name}: {path} lists no tensors")
    for name, entry in entries.items():
        # Constants may be objects of other kinds.
        if isinstance(entry, dict) and isinstance(entry.get("tensor_meta"), dict):
            archive.budget.add_tensor(len(name))
            yield _of_kind(kind, _tensor(archive, folder, name, entry))


def _of_kind(kind: str, tensor: StoredTensor) -> StoredTensor:
    return replace(tensor, reason="constant") if kind == "constants" and tensor.reason is None else tensor


def _tensor(archive: ZipArchive, folder: str, name: str, entry: dict[str, Any]) -> StoredTensor:
    """Return the record of a tensor, which is a strided view of the numbers in an entry of the archive."""
    meta, path = entry["tensor_meta"], entry.get("path_name")
    shape, strides, offset = (
        _integers(meta.get("sizes")),
        _integers(meta.get("strides")),
        _integer(meta.get("storage_offset")),
    )
    if shape is None or strides is None or len(shape) != len(strides) or offset is None or not isinstance(path, str):
        raise FormatError(f"{archive.file.name}: the sizes of {name[:80]!r} are not stated as numbers; export it again")
    number = meta.get("dtype")
    dtype = DTYPES.get(number, f"type {number}") if isinstance(number, int) else "unknown"
    location = None
    # Subclasses of tensors are pickled, and tensors without numbers are empty.
    if dtype in ITEMSIZE and not entry.get("use_pickle"):
        file = archive.open(folder + path)
        if file.size or 0 in shape:
            start = offset * ITEMSIZE[dtype]
            location = TensorLocation(file=file, offset=start, dtype=dtype, shape=shape, strides=strides)
    return StoredTensor(
        name=name, key=name, shape=shape, dtype=dtype, location=location, reason=None if location else "unreadable"
    )


def _pickled(archive: ZipArchive, path: str, kind: str) -> Iterator[StoredTensor]:
    """Yield the tensors of a dictionary that `torch.save` wrote into the archive."""
    file = archive.open(path)
    if file.size:
        found = locate_tensors(file, load_archive(file, archive.budget), archive.budget)
        yield from (_of_kind(kind, tensor) for tensor in found)


def _described(tensors: Iterable[StoredTensor], uses: WeightUses) -> Iterator[StoredTensor]:
    """Yield tensors with what the graph says about them."""
    for tensor in tensors:
        convolution = uses.convolutions.get(tensor.name)
        if tensor.reason not in (None, "constant"):
            yield tensor
        elif convolution is not None and len(tensor.shape) == int(convolution.op[-2]) + 2:
            yield replace(tensor, convolution=convolution, reason=None)
        elif tensor.name in uses.computed_from:
            yield replace(tensor, weight_kind="standardized", reason=None)
        elif tensor.dtype in FLOAT_DTYPES and 3 <= len(tensor.shape) <= 5 and not uses.may_convolve(tensor.name):
            yield replace(tensor, reason=tensor.reason or "nonstandard_operator", rule="graph")
        else:
            yield tensor


def _named_below(tensor: StoredTensor, model: str) -> StoredTensor:
    return replace(tensor, name=f"{model}.{tensor.name}", root=(model, *tensor.root))


def _read_json(archive: ZipArchive, name: str) -> Any:
    entry = archive.entries.get(name)
    limit = MAX_INFLATED_JSON_BYTES if entry is not None and entry.is_deflated else MAX_JSON_BYTES
    return parse_json(archive.read(name, limit), f"{archive.file.name}: {name[:80]}")


def _integers(values: object) -> tuple[int, ...] | None:
    """Return a list of numbers of the schema, None if one is a symbol."""
    if not isinstance(values, list) or len(values) > MAX_RANK:
        return None
    found = tuple(_integer(value) for value in values)
    return None if None in found else tuple(number for number in found if number is not None)


def _integer(value: object) -> int | None:
    number = value.get("as_int") if isinstance(value, dict) else None
    return number if type(number) is int and 0 <= number < 1 << 62 else None
