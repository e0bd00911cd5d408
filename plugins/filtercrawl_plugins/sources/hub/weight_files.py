"""Group the files of a repository into checkpoints and find copies of the same weights, by file names alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.format_names import FORMATS_WITHOUT_READER
from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS

# Files that trainers save beside the weights: state of optimizers, random generators and the run.
_TRAINER_STATE: Final = re.compile(
    r"(training_args|optimizer|scheduler|rng_state|random_states)(_[\w-]+)?\.\w+|scaler\.pt|.+_optim(izer)?\.\w+"
)
# Folders of formats without a reader whose files have a known extension, and the format.
_FOREIGN_FOLDERS: Final = {".mlpackage": "Core ML", ".mlmodelc": "Core ML", "openvino": "OpenVINO"}
_INDEX: Final = re.compile(r"(?P<stem>.+)(?P<suffix>\.safetensors|\.bin|\.msgpack)\.index(?:\.(?P<variant>\w+))?\.json")
# The pickle of a folder of `torch.distributed.checkpoint`.
_DISTRIBUTED_METADATA: Final = ".metadata"
_SHARD: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")
# Variants in a file name: exponential moving average or raw weights, full or half precision, quantized.
_VARIANT: Final = re.compile(
    r"[._-](?:(?P<raw>non?[_-]?ema)|(?P<average>ema(?:[_-]?only)?)|fp32|float32|f32"
    r"|(?P<half>fp16|float16|f16|bf16|bfloat16)"
    r"|(?P<codes>fp8\w*|q?u?int[48]|q4f16|q[48]|bnb4|w8a8|(?:dynamic_range_|(?:full_)?integer_)?quant(?:ized)?))"
    r"(?=[._-]|$)",
    re.IGNORECASE,
)
# Names that client libraries give the same network in different formats.
_CANONICAL_NAMES: Final = {
    "pytorch_model": "model", "tf_model": "model", "flax_model": "model",
    "open_clip_pytorch_model": "open_clip_model", "diffusion_flax_model": "diffusion_pytorch_model",
}  # fmt: skip
# Names of files that a config.json in the same folder describes.
_NAMES_WITH_CONFIG: Final = frozenset({"model", "diffusion_pytorch_model"})
# Folders that belong to the network at the root: exports, and modules of sentence-transformers (`1_Pooling`).
_ROOT_FOLDERS: Final = re.compile(r"\.|onnx|\d+_[A-Za-z]+")
# Preference of formats, best first; any other extension is a torch file.
_FORMAT_RANKS: Final = {
    ".safetensors": 0, ".npz": 2, ".msgpack": 3, ".keras": 4, ".h5": 5, ".hdf5": 5, ".pdparams": 6, ".onnx": 7,
    ".tflite": 8,
}  # fmt: skip
_TORCH_RANK: Final = 1
# Graphs of exporters, which fold normalizations into weights.
_EXPORTED: Final = (".onnx", ".tflite")
# Endings that belong to the format and not to the name.
_COMPOUND_SUFFIXES: Final = {".tar": ".pth", ".h5": ".weights"}


@dataclass(frozen=True, kw_only=True)
class WeightFiles:
    """The files of one checkpoint.

    Attributes:
        paths: Paths in the repository, the main file first.
        copy_of: Why the checkpoint is skipped in favor of another file with the same weights; None if it is not.
            Preferred are, in this order: a moving average over raw weights, weights over an exported graph, full
            precision, safetensors.
    """

    paths: tuple[str, ...]
    copy_of: str | None = None

    @property
    def main(self) -> str:
        """The first path, by which the checkpoint is named."""
        return self.paths[0]

    @property
    def config_path(self) -> str:
        """Path of the config.json that describes the network; empty if the file name is not one that has a config."""
        name = _parse_name(self)
        if name.family[1] not in _NAMES_WITH_CONFIG or self.main.endswith(_EXPORTED):
            return ""
        return str(PurePosixPath(self.main).parent / "config.json")

    @property
    def is_at_root(self) -> bool:
        """Whether the file is at the root, or in a folder for exports or modules of the network at the root."""
        return _ROOT_FOLDERS.fullmatch(str(PurePosixPath(self.main).parent)) is not None


@dataclass(frozen=True)
class _ParsedName:
    """What a file name states.

    Attributes:
        family: (folder, name) that all copies of a network share.
        rank: Preference, the smallest first: (moving average, exported, precision, format).
    """

    family: tuple[str, str]
    rank: tuple[int, int, int, int]


def group_weight_files(
    paths: Collection[str],
    selected: Iterable[str] | None = None,
    named: str | None = None,
    suffixes: Collection[str] = WEIGHT_EXTENSIONS,
) -> list[WeightFiles]:
    """Group the files of a repository into checkpoints.

    Args:
        paths: Paths of all files.
        selected: Main files to return, and to search for copies; None for all.
        named: A path that the user has named: a checkpoint whatever its extension.
        suffixes: Endings of the names of weight files.

    Returns:
        Checkpoints, sorted by path.
    """
    all_paths = frozenset(paths)
    sharded = list(_sharded_sets(all_paths))
    members = {path for group in sharded for path in group.paths}
    singles = (path for path in all_paths - members if path == named or _is_weights(path, all_paths, suffixes))
    groups = [*sharded, *(WeightFiles(paths=(path, *_external_data(path, all_paths))) for path in singles)]
    wanted = None if selected is None else frozenset(selected)
    parsed = [(group, _parse_name(group)) for group in groups if wanted is None or group.main in wanted]
    parsed.sort(key=lambda pair: pair[0].main)
    best: dict[tuple[str, str], tuple[_ParsedName, str]] = {}
    for weights, name in parsed:
        if name.family not in best or name.rank < best[name.family][0].rank:
            best[name.family] = name, weights.main
    return [WeightFiles(paths=group.paths, copy_of=_copy_reason(name, *best[name.family])) for group, name in parsed]


def is_named_as_weights(path: str, suffixes: Collection[str]) -> bool:
    """Return whether a name ends as those of weight files do."""
    return path.lower().endswith(tuple(suffixes))


def formats_without_reader(paths: Collection[str], suffixes: Collection[str] = WEIGHT_EXTENSIONS) -> list[str]:
    """Return the formats of the weights in a repository that no reader reads, by the names of its files, sorted.

    Args:
        paths: Paths of all files.
        suffixes: Endings of the names of files that are read.
    """
    all_paths = frozenset(paths)
    unread = (path for path in all_paths if not is_named_as_weights(path, suffixes))
    found = {FORMATS_WITHOUT_READER.get(PurePosixPath(path).suffix.lower()) for path in unread}
    found |= {_foreign_format(path, all_paths) for path in all_paths}
    return sorted(name for name in found if name is not None)


def _is_weights(path: str, all_paths: frozenset[str], suffixes: Collection[str]) -> bool:
    pure = PurePosixPath(path)
    if not is_named_as_weights(path, suffixes) or _TRAINER_STATE.fullmatch(pure.name):
        return False
    return _foreign_format(path, all_paths) is None


def _foreign_format(path: str, all_paths: frozenset[str]) -> str | None:
    """Return the format without a reader that a file with a known extension belongs to, None if to no such format."""
    pure = PurePosixPath(path)
    if pure.suffix == ".bin" and str(pure.with_suffix(".xml")) in all_paths:
        return "OpenVINO"  # numbers without shapes
    folders = pure.parts[:-1]
    return next((name for end, name in _FOREIGN_FOLDERS.items() if any(part.endswith(end) for part in folders)), None)


def _sharded_sets(all_paths: frozenset[str]) -> Iterable[WeightFiles]:
    """Yield each index with its shards. Shards without an index are checkpoints of their own."""
    shards: dict[tuple[str, str], list[str]] = {}
    for path in sorted(all_paths):
        if match := _SHARD.fullmatch(path):
            shards.setdefault((match["stem"], match["suffix"]), []).append(path)
    for path in sorted(all_paths):
        match = _INDEX.fullmatch(path)
        if match is None:
            continue
        stem = match["stem"] if match["variant"] is None else f"{match['stem']}.{match['variant']}"
        if members := shards.get((stem, match["suffix"])):
            yield WeightFiles(paths=(path, *members))
    yield from _distributed_checkpoints(all_paths)


def _distributed_checkpoints(all_paths: frozenset[str]) -> Iterable[WeightFiles]:
    """Yield each folder of `torch.distributed.checkpoint`: its metadata with its shards."""
    shards: dict[PurePosixPath, list[str]] = {}
    for path in sorted(all_paths):
        if path.endswith(".distcp"):
            shards.setdefault(PurePosixPath(path).parent, []).append(path)
    for folder, members in shards.items():
        if (metadata := str(folder / _DISTRIBUTED_METADATA)) in all_paths:
            yield WeightFiles(paths=(metadata, *members))


def _external_data(path: str, all_paths: frozenset[str]) -> list[str]:
    """Return the external data files of an ONNX model, by the names that exporters give them."""
    if not path.endswith(".onnx"):
        return []
    single = (f"{path}_data", f"{path}.data", f"{path.removesuffix('.onnx')}.data")
    numbered = takewhile(all_paths.__contains__, (f"{path}_data_{number}" for number in count(1)))
    return [*(other for other in single if other in all_paths), *numbered]


def _parse_name(weights: WeightFiles) -> _ParsedName:
    path = weights.main
    if match := _INDEX.fullmatch(path):
        stem, suffix = f"{match['stem']}{'.' + match['variant'] if match['variant'] else ''}", match["suffix"]
    else:
        suffix = PurePosixPath(path).suffix
        stem = path.removesuffix(suffix)
        suffix = suffix.lower()
        stem = stem.removesuffix(_COMPOUND_SUFFIXES.get(suffix, ""))
    pure = PurePosixPath(stem)
    variants = list(_VARIANT.finditer(pure.name))
    name = _VARIANT.sub("", pure.name)
    folder = pure.parent.parent if pure.parent.name == "onnx" else pure.parent
    present = {variant for match in variants for variant, text in match.groupdict().items() if text}
    ema = 0 if "average" in present else 2 if "raw" in present else 1
    precision = 2 if "codes" in present else 1 if "half" in present else 0
    return _ParsedName(
        family=(str(folder), _CANONICAL_NAMES.get(name, name)),
        rank=(ema, int(suffix in _EXPORTED), precision, _FORMAT_RANKS.get(suffix, _TORCH_RANK)),
    )


def _copy_reason(name: _ParsedName, best: _ParsedName, preferred: str) -> str | None:
    """Return why a file is skipped in favor of the preferred one of its family, None if it is not."""
    if name.rank == best.rank:
        return None
    if name.rank[0] > best.rank[0]:
        return f"raw weights beside their moving average {preferred}"
    if name.rank[2] > best.rank[2]:
        return f"same weights as {preferred}, in fewer bits"
    return f"same weights as {preferred}"
