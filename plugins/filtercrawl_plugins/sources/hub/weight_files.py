"""Group the files of a repository into checkpoints and find copies of the same weights, by file names alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS

# Files that trainers save beside the weights: state of optimizers, random generators and the run.
_TRAINER_STATE: Final = re.compile(
    r"(training_args|optimizer|scheduler|rng_state|random_states)(_[\w-]+)?\.\w+|scaler\.pt|.+_optim(izer)?\.\w+"
)
# Folders of formats without a reader whose files have a known extension (Core ML, OpenVINO).
_FOREIGN_FOLDERS: Final = (".mlpackage", ".mlmodelc", "openvino")
_INDEX: Final = re.compile(r"(?P<stem>.+)(?P<suffix>\.safetensors|\.bin)\.index(?:\.(?P<variant>\w+))?\.json")
_SHARD: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")
# Variants in a file name: exponential moving average or raw weights, full or half precision, quantized.
_VARIANT: Final = re.compile(
    r"[._-](?:(?P<raw>non?[_-]?ema)|(?P<average>ema(?:[_-]?only)?)|fp32|float32|f32"
    r"|(?P<half>fp16|float16|f16|bf16|bfloat16)"
    r"|(?P<codes>fp8\w*|q?u?int[48]|q4f16|q[48]|bnb4|quantized|quant))(?=[._-]|$)",
    re.IGNORECASE,
)
# Names that client libraries give the same network in different formats.
_CANONICAL_NAMES: Final = {"pytorch_model": "model", "open_clip_pytorch_model": "open_clip_model"}
# Names of files that a config.json in the same folder describes.
_NAMES_WITH_CONFIG: Final = frozenset({"model", "diffusion_pytorch_model"})
# Folders that belong to the network at the root: exports, and modules of sentence-transformers (`1_Pooling`).
_ROOT_FOLDERS: Final = re.compile(r"\.|onnx|\d+_[A-Za-z]+")
# Preference of formats, best first; any other extension is a torch file.
_FORMAT_RANKS: Final = {".safetensors": 0, ".onnx": 3, ".npz": 2}
_TORCH_RANK: Final = 1


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
        if name.family[1] not in _NAMES_WITH_CONFIG or self.main.endswith(".onnx"):
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


def group_weight_files(paths: Collection[str], selected: Iterable[str] | None = None) -> list[WeightFiles]:
    """Group the files of a repository into checkpoints.

    Args:
        paths: Paths of all files.
        selected: Main files to return, and to search for copies; None for all.

    Returns:
        Checkpoints, sorted by path.
    """
    all_paths = frozenset(paths)
    sharded = list(_sharded_sets(all_paths))
    members = {path for group in sharded for path in group.paths}
    singles = (path for path in all_paths - members if _is_weights(path, all_paths))
    groups = [*sharded, *(WeightFiles(paths=(path, *_external_data(path, all_paths))) for path in singles)]
    wanted = None if selected is None else frozenset(selected)
    named = [(group, _parse_name(group)) for group in groups if wanted is None or group.main in wanted]
    named.sort(key=lambda pair: pair[0].main)
    best: dict[tuple[str, str], tuple[_ParsedName, str]] = {}
    for weights, name in named:
        if name.family not in best or name.rank < best[name.family][0].rank:
            best[name.family] = name, weights.main
    return [WeightFiles(paths=group.paths, copy_of=_copy_reason(name, *best[name.family])) for group, name in named]


def has_known_extension(path: str) -> bool:
    """Return whether the extension is one of weight files."""
    return PurePosixPath(path).suffix.lower() in WEIGHT_EXTENSIONS


def _is_weights(path: str, all_paths: frozenset[str]) -> bool:
    pure = PurePosixPath(path)
    if not has_known_extension(path) or _TRAINER_STATE.fullmatch(pure.name):
        return False
    if any(part.endswith(_FOREIGN_FOLDERS) for part in pure.parts[:-1]):
        return False
    return not (
        pure.suffix == ".bin" and str(pure.with_suffix(".xml")) in all_paths
    )  # OpenVINO: numbers without shapes


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
        if suffix == ".tar" and stem.endswith(".pth"):
            stem = stem.removesuffix(".pth")
    pure = PurePosixPath(stem)
    variants = list(_VARIANT.finditer(pure.name))
    name = _VARIANT.sub("", pure.name)
    folder = pure.parent.parent if pure.parent.name == "onnx" else pure.parent
    present = {variant for match in variants for variant, text in match.groupdict().items() if text}
    ema = 0 if "average" in present else 2 if "raw" in present else 1
    precision = 2 if "codes" in present else 1 if "half" in present else 0
    return _ParsedName(
        family=(str(folder), _CANONICAL_NAMES.get(name, name)),
        rank=(ema, int(suffix == ".onnx"), precision, _FORMAT_RANKS.get(suffix, _TORCH_RANK)),
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
