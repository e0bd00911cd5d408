"""Choose the files of a version that are loaded: what is new, and a sample of what an earlier version had already."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from typing import Any, Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.parquet import File

__all__ = ["ConfigFiles", "LoadSample", "restrict_header"]

# Of one config at most so many bytes are loaded, if its smallest file has not more.
_MAX_BYTES: Final = 256 * 10**6
# Files of one config that are new, at most; the digests of all others are compared as well.
_NEW_FILES: Final = 32
# Files in all that an earlier version had already.
_KNOWN_FILES: Final = 8
_WILDCARD: Final = re.compile(r"[*?[]")


@dataclass(frozen=True, kw_only=True)
class ConfigFiles:
    """The files of one split of a config that are loaded.

    Attributes:
        name: Of the config.
        split: Of the config.
        files: Some of its files, or all.
        whole: Whether these are all.
    """

    name: str
    split: str
    files: tuple[File, ...]
    whole: bool


@dataclass(frozen=True, kw_only=True)
class LoadSample:
    """Chooses files, the same ones for the same version.

    Attributes:
        files: The files that can be loaded.
        known: Paths of those that an earlier version had with the same content; None to choose all.
        seed: The name of the version, on which the choice depends.
    """

    files: tuple[File, ...]
    known: Set[str] | None
    seed: str = ""

    def configs(self, header: Mapping[str, Any], listed: Iterable[File], where: str) -> list[ConfigFiles]:
        """Return the splits of the card's configs that have a file which can be loaded.

        A config of which another one has files, such as `layers-timm`, is loaded with those of them that are chosen.

        Args:
            header: The header of the card.
            listed: The files of the version.
            where: What to call the version in messages.

        Raises:
            DatasetError: A config has no file in the version, or lists one that the version lacks.
        """
        files, found = _SortedFiles(listed), list[tuple[str, str, list[File]]]()
        for config in header.get("configs") or ():
            name = config["config_name"]
            for data in config["data_files"]:
                patterns = _patterns(data)
                missing = [path for path in patterns if not (_WILDCARD.search(path) or path in files)]
                if missing:
                    raise DatasetError(f"{where}: the config {name} names {missing[0]}, which is missing")
                matching = list(files.matching(patterns))
                if not matching:
                    raise DatasetError(f"{where}: the config {name} has no file")
                found.append((name, data["split"], matching))
        loadable, chosen = {file.path for file in self.files}, set[str]()
        for _, _, matching in found:
            if chosen.isdisjoint(file.path for file in matching):
                chosen.update(self._choose([file for file in matching if file.path in loadable]))
        of_each = ((name, split, matching, _within(matching, chosen)) for name, split, matching in found)
        return [
            ConfigFiles(name=name, split=split, files=some, whole=len(some) == len(matching))
            for name, split, matching, some in of_each
            if some
        ]

    def _choose(self, files: Sequence[File]) -> Iterator[str]:
        ordered = sorted(files, key=self._rank)
        if self.known is not None:
            new = [file for file in ordered if file.path not in self.known][:_NEW_FILES]
            ordered = [*new, *(file for file in ordered if file.path in self._sampled)] or ordered[:1]
        ordered.sort(key=lambda file: file.size if file.size > _MAX_BYTES else 0)
        size = 0
        for number, file in enumerate(ordered):
            size += file.size
            if size <= _MAX_BYTES or number == 0:
                yield file.path

    @cached_property
    def _sampled(self) -> frozenset[str]:
        """Paths of the files that are loaded although an earlier version had them."""
        known = (file for file in self.files if file.path in (self.known or ()) and file.path.endswith(".parquet"))
        return frozenset(file.path for file in sorted(known, key=self._rank)[:_KNOWN_FILES])

    def _rank(self, file: File) -> bytes:
        return hashlib.blake2b(f"{self.seed} {file.sha256}".encode(), digest_size=16).digest()


def restrict_header(header: Mapping[str, Any], chosen: Mapping[tuple[str, str], Set[str]]) -> dict[str, Any]:
    """Return the header of a card without paths that it lists one by one and that were not chosen.

    `datasets` loads nothing of a config if one of these is missing; patterns find what is there.

    Args:
        header: The header of the card.
        chosen: Paths by config and split.
    """
    configs = []
    for config in header.get("configs") or ():
        splits = []
        for data in config["data_files"]:
            paths = chosen.get((config["config_name"], data["split"]), frozenset[str]())
            if left := [path for path in _patterns(data) if _WILDCARD.search(path) or path in paths]:
                splits.append({**data, "path": left})
        if splits:
            configs.append({**config, "data_files": splits})
    return {**header, "configs": configs}


def _patterns(data: Mapping[str, Any]) -> list[str]:
    """Return the paths and patterns of a split of a config."""
    return [data["path"]] if isinstance(data["path"], str) else list(data["path"])


def _within(files: Iterable[File], paths: Set[str]) -> tuple[File, ...]:
    return tuple(file for file in files if file.path in paths)


class _SortedFiles:
    """Finds the files that a pattern of the card means, among very many."""

    def __init__(self, files: Iterable[File]) -> None:
        self._files = {file.path: file for file in files}
        self._paths = sorted(self._files)

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def matching(self, patterns: Iterable[str]) -> Iterator[File]:
        for pattern in patterns:
            wildcard = _WILDCARD.search(pattern)
            if wildcard is None:
                if pattern in self._files:
                    yield self._files[pattern]
                continue
            prefix, matches = pattern[: wildcard.start()], re.compile(translate(pattern)).match
            for position in range(bisect_left(self._paths, prefix), len(self._paths)):
                if not self._paths[position].startswith(prefix):
                    break
                if matches(self._paths[position]):
                    yield self._files[self._paths[position]]
