"""Write `docs/limits.md` from the limits in the code; a test holds the page against them."""

from __future__ import annotations

from pathlib import Path

from filtercrawl.extraction.classify import MAX_LAYERS
from filtercrawl_plugins.formats import json_text, msgpack
from filtercrawl_plugins.formats.budget import LIMITS, MAX_NAME_LENGTH, Limit
from filtercrawl_plugins.formats.zip import archive, directory
from filtercrawl_plugins.readers import flax_msgpack, npz
from filtercrawl_plugins.readers.keras import datasets
from filtercrawl_plugins.readers.onnx.graph import parse, tensor_proto
from filtercrawl_plugins.readers.tflite import model
from filtercrawl_plugins.readers.torch import distributed_metadata, tensor_locator, tensor_walk, torchscript
from filtercrawl_plugins.sources.local import metadata_table, side_files

INTRODUCTION = """# Limits of readers

Written by `python docs/limits.py` from the code. A checkpoint that exceeds a limit is recorded as failed with one line
that names the limit; the run goes on.

## Code in pickles

Nothing that a pickle names is imported or called. A file that names a function which loading it with `torch.load` or
`pickle.load` would run, such as `os.system`, is reported: `names os.system; not run`, in the log of `sync`, in
`inspect`, in `status`, and as `names_code` in the column `extra` of `models`. The name is the one that the pickle has:
Python writes `os.system` as `posix.system`, on Windows as `nt.system`. A pickle that names code in its first 32 KiB and
holds no tensors fails with what it names. With `--refuse-code` (or the setting
`refuse_code`) such files fail instead, those of earlier runs too; what was taken from them before stays, as with any
failure, until `withdraw` removes it. A run without it reads them again. Classes of objects are not reported, nor are
functions of torch, NumPy and the like that rebuild values.

## Budget of a checkpoint

Parsers charge a budget where they do the work. All parts of a checkpoint share it, archives inside of archives too.
It grows with the size of the main file, so that a small file cannot ask for much: a step takes about a third of a
microsecond.

| what is counted | any file | for each byte more | at most |
|---|---|---|---|"""
MEANINGS = {
    "steps": "steps: an opcode of a pickle, a part of a field of protobuf or of a value of MessagePack or FlatBuffers, "
    "a value that is looked at; an object of HDF5 takes 300",
    "memory": "bytes of the objects of all pickles, estimated before they are made",
    "inflated": "bytes that are decompressed; what is read twice may count twice",
    "tensors": "tensors, each name of one",
    "kernels": "convolutions of a graph, in every call of a function; tensors of safetensors with three to five axes",
    "text": "characters of all names of tensors",
}
OTHERS = (
    ("characters of the name of a tensor, a class or a storage", MAX_NAME_LENGTH),
    ("layers of a checkpoint", MAX_LAYERS),
    ("values of a header or an index in JSON", json_text.MAX_VALUES),
    ("entries of a zip archive", directory.MAX_ENTRIES),
    ("bytes of the central directory of a zip archive", directory.MAX_DIRECTORY_BYTES),
    ("bytes that a compressed byte may become", archive.MAX_COMPRESSION_RATIO),
    ("bytes of the header of an array of NumPy", npz.MAX_HEADER_BYTES),
    ("levels of the object of a pickle", tensor_walk.MAX_DEPTH),
    ("axes of a tensor of torch", tensor_locator.MAX_RANK),
    ("axes of a tensor of ONNX", tensor_proto.MAX_AXES),
    ("pieces of the numbers of a tensor of ONNX", tensor_proto.MAX_PIECES),
    ("graphs of ONNX inside of each other", parse.MAX_GRAPH_DEPTH),
    ("bytes of the code of a class of TorchScript; nothing is known of longer ones", torchscript.MAX_CODE_BYTES),
    ("chunks of a tensor of a distributed checkpoint", distributed_metadata.MAX_CHUNKS),
    ("levels of groups of an HDF5 file", datasets.MAX_DEPTH),
    ("levels of maps and lists of MessagePack", msgpack.MAX_DEPTH),
    ("axes of a tensor of Flax", flax_msgpack.MAX_RANK),
    ("axes of a tensor of TFLite", model.MAX_RANK),
    ("scales of the tensors of a TFLite model", model.MAX_SCALES),
    (
        "bytes of a file that describes the checkpoints beside it, such as `metadata.csv`; a larger one is ignored",
        side_files.MAX_BYTES,
    ),
    ("rows of such a file", metadata_table.MAX_ROWS),
    ("bytes of `metadata.parquet` once decoded", metadata_table.MAX_DECODED),
)


def page() -> str:
    """Return the page."""
    budget = [
        f"| {MEANINGS[name]} | {limit.base:,} | {added(limit)} | {most(limit)} |" for name, limit in LIMITS.items()
    ]
    others = [f"| {what} | {number:,} |" for what, number in OTHERS]
    return "\n".join(
        [INTRODUCTION, *budget, "\n## Other limits\n", "| what is counted | at most |", "|---|---|", *others, ""]
    )


def added(limit: Limit) -> str:
    return f"{limit.per_byte:.3g}" if limit.per_byte else "nothing"


def most(limit: Limit) -> str:
    return f"{limit.most:,}" if limit.most is not None else "no limit" if limit.per_byte else f"{limit.base:,}"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), "utf-8")
