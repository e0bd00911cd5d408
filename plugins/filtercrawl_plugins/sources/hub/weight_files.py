"""Which files of a repo are checkpoints, which belong together, and which say the same twice: by their names alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS

# What trainers keep beside the weights: state of optimizers, of random generators, of the run.
_TRAINER: Final = re.compile(
    r"(training_args|optimizer|scheduler|rng_state|random_states)(_[\w-]+)?\.\w+|scaler\.pt|.+_optim(izer)?\.\w+"
)
# Folders of formats that no reader knows, whose files bear a known extension.
_FOREIGN: Final = (".mlpackage", ".mlmodelc", "openvino")
_INDEX: Final = re.compile(r"(?P<stem>.+)(?P<suffix>\.safetensors|\.bin)\.index(?:\.(?P<variant>\w+))?\.json")
_SHARD: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")
_VARIANT: Final = re.compile(
    r"[._-](?:(?P<raw>non?[_-]?ema)|(?P<average>ema(?:[_-]?only)?)|fp32|float32|f32"
    r"|(?P<half>fp16|float16|f16|bf16|bfloat16)"
    r"|(?P<codes>fp8\w*|q?u?int[48]|q4f16|q[48]|bnb4|quantized|quant))(?=[._-]|$)",
    re.IGNORECASE,
)
# The names that client libraries give one network in the formats they know.
_CANONICAL: Final = {"pytorch_model": "model", "open_clip_pytorch_model": "open_clip_model"}
_WITH_CONFIG: Final = frozenset({"model", "diffusion_pytorch_model"})
_AT_ROOT: Final = re.compile(r"\.|onnx|\d+_[A-Za-z]+")
_FORMATS: Final = {".safetensors": 0, ".onnx": 3, ".npz": 2}
_TORCH: Final = 1


@dataclass(frozen=True, kw_only=True)
class WeightFiles:
    """The files of one checkpoint, as paths in the repo, the main one first.

    copy_of: why it is left out where another file of the repo is preferred: of a moving average and raw weights the
    average, an exported graph only where there is nothing else, full precision, safetensors.
    """

    paths: tuple[str, ...]
    copy_of: str | None = None

    @property
    def main(self) -> str:
        return self.paths[0]

    @property
    def config_path(self) -> str:
        """The config.json that tells the architecture, where the files bear the name that goes with one; else empty."""
        name = _read(self)
        if name.family[1] not in _WITH_CONFIG or self.main.endswith(".onnx"):
            return ""
        return str(PurePosixPath(self.main).parent / "config.json")

    @property
    def is_at_root(self) -> bool:
        """Whether the file lies at the root or where exports and heads of what lies there are kept."""
        return _AT_ROOT.fullmatch(str(PurePosixPath(self.main).parent)) is not None


@dataclass(frozen=True)
class _Name:
    """What a file name says. family: what all copies of one network share; rank: the smaller, the better."""

    family: tuple[str, str]
    rank: tuple[int, int, int, int]


def group_weight_files(paths: Collection[str], asked: Iterable[str] | None = None) -> list[WeightFiles]:
    """Return the checkpoints among the files of a repo, sorted by path; copies are sought among those asked for."""
    everything = frozenset(paths)
    sets = list(_sets(everything))
    members = {path for found in sets for path in found.paths}
    singles = (path for path in everything - members if _is_weights(path, everything))
    found = [*sets, *(WeightFiles(paths=(path, *_external(path, everything))) for path in singles)]
    wanted = None if asked is None else frozenset(asked)
    named = [(w, _read(w)) for w in sorted(found, key=lambda w: w.main) if wanted is None or w.main in wanted]
    best: dict[tuple[str, str], tuple[_Name, str]] = {}
    for weights, name in named:
        if name.family not in best or name.rank < best[name.family][0].rank:
            best[name.family] = name, weights.main
    return [WeightFiles(paths=w.paths, copy_of=_reason(name, *best[name.family])) for w, name in named]


def has_known_extension(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in WEIGHT_EXTENSIONS


def _is_weights(path: str, everything: frozenset[str]) -> bool:
    pure = PurePosixPath(path)
    if not has_known_extension(path) or _TRAINER.fullmatch(pure.name):
        return False
    if any(part.endswith(_FOREIGN) for part in pure.parts[:-1]):
        return False
    return not (pure.suffix == ".bin" and str(pure.with_suffix(".xml")) in everything)  # OpenVINO's raw numbers


def _sets(everything: frozenset[str]) -> Iterable[WeightFiles]:
    """Yield each index with its shards; shards without an index are files like any other."""
    shards: dict[tuple[str, str], list[str]] = {}
    for path in sorted(everything):
        if match := _SHARD.fullmatch(path):
            shards.setdefault((match["stem"], match["suffix"]), []).append(path)
    for path in sorted(everything):
        match = _INDEX.fullmatch(path)
        if match is None:
            continue
        stem = match["stem"] if match["variant"] is None else f"{match['stem']}.{match['variant']}"
        if found := shards.get((stem, match["suffix"])):
            yield WeightFiles(paths=(path, *found))


def _external(path: str, everything: frozenset[str]) -> list[str]:
    """Return the files in which an ONNX graph may keep its numbers, by the names that exporters give them."""
    if not path.endswith(".onnx"):
        return []
    plain = (f"{path}_data", f"{path}.data", f"{path.removesuffix('.onnx')}.data")
    numbered = takewhile(everything.__contains__, (f"{path}_data_{number}" for number in count(1)))
    return [*(other for other in plain if other in everything), *numbered]


def _read(weights: WeightFiles) -> _Name:
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
    words = list(_VARIANT.finditer(pure.name))
    name = _VARIANT.sub("", pure.name)
    folder = pure.parent.parent if pure.parent.name == "onnx" else pure.parent
    has = {kind for match in words for kind, word in match.groupdict().items() if word}
    ema = 0 if "average" in has else 2 if "raw" in has else 1
    precision = 2 if "codes" in has else 1 if "half" in has else 0
    return _Name(
        family=(str(folder), _CANONICAL.get(name, name)),
        rank=(ema, int(suffix == ".onnx"), precision, _FORMATS.get(suffix, _TORCH)),
    )


def _reason(name: _Name, best: _Name, preferred: str) -> str | None:
    """Say why one file is left out beside the preferred one of its family, or None."""
    if name.rank == best.rank:
        return None
    if name.rank[0] > best.rank[0]:
        return f"raw weights beside their moving average {preferred}"
    if name.rank[2] > best.rank[2]:
        return f"same weights as {preferred}, in fewer bits"
    return f"same weights as {preferred}"
