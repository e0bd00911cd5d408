"""What a metadata file in a folder states of its checkpoints."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeVar

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, PreviousState, TrainingRun
from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.vocabulary import TASKS
from filtercrawl_plugins.sources.local.metadata_table import READERS, Row, read_table
from filtercrawl_plugins.sources.local.metadata_values import KNOWN_COLUMNS, RUN, TEXTS, convert, reserved_columns

logger = logging.getLogger(__name__)

# Folders above a file that are looked into.
_MAX_DEPTH: Final = 32
# Names that match no column exactly and one of them this closely are named.
_SIMILAR: Final = 0.75
# Warnings of one kind, and characters of what is named in one.
_MAX_WARNINGS: Final = 10
_MAX_SHOWN: Final = 100

_Faulty = TypeVar("_Faulty")


@dataclass(kw_only=True)
class FolderMetadata:
    """The rows of the metadata file of one folder.

    Attributes:
        name: Name of the file, for messages.
        exact: Rows by the path that they name.
        patterns: (pattern, row) of the others.
        matched: Paths and patterns that a file has matched.
        broken: Whether it cannot be read: what it stated before is then kept.
    """

    name: str
    broken: bool = False
    exact: dict[str, list[Row]] = field(default_factory=dict)
    patterns: list[tuple[str, Row]] = field(default_factory=list)
    matched: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, root: Path, prefix: str = "") -> FolderMetadata | None:
        """Read the metadata file of a folder; None if there is none. A problem is logged.

        Args:
            root: The folder that is listed.
            prefix: POSIX path of the folder below it, with a trailing slash; empty for itself.
        """
        folder = root / prefix
        path = next((folder / name for name in READERS if os.path.isfile(folder / name)), None)  # noqa: PTH113
        if path is None:
            return None
        found = cls(name=f"{prefix}{path.name}")
        try:
            rows = read_table(path, root)
        except CheckpointError as error:
            logger.warning(
                "%s%s; it is ignored, and what it stated of the checkpoints beside it before is kept", prefix, error
            )
            return replace(found, broken=True)
        numbers: dict[str, list[int]] = {}
        nameless = []
        for number, row in enumerate(rows, 1):
            target = row.pop("file_name", None)
            if not isinstance(target, str):
                nameless.append(number)
                continue
            target = target.removeprefix("./")
            numbers.setdefault(target, []).append(number)
            if any(character in target for character in "*?["):
                found.patterns.append((target, row))
            else:
                found.exact.setdefault(target, []).append(row)
        found._warn(nameless, lambda number: f"row {number} has no file_name")
        found._warn_doubtful(rows, numbers)
        return found

    def _warn(self, faulty: Sequence[_Faulty], describe: Callable[[_Faulty], str]) -> None:
        """Log what is wrong with the first of some, and how many more there are."""
        for one in faulty[:_MAX_WARNINGS]:
            logger.warning("%s: %s", self.name, describe(one))
        if len(faulty) > _MAX_WARNINGS:
            logger.warning("%s: the same of %d more", self.name, len(faulty) - _MAX_WARNINGS)

    def _warn_doubtful(self, rows: Sequence[Row], numbers: Mapping[str, Sequence[int]]) -> None:
        """Log what may be a mistake: files named by several rows, tasks of no vocabulary, names of columns.

        Args:
            rows: All rows, without their `file_name`.
            numbers: The numbers of the rows by the path or pattern that they name.
        """
        last = "where they differ, the last of them counts"
        self._warn(
            [target for target, several in numbers.items() if len(several) > 1],
            lambda target: f"rows {_enumerate(numbers[target])} name {_shorten(target)}; {last}",
        )
        tasks = dict.fromkeys(str(row["task"]).strip() for row in rows if "task" in row)
        self._warn(
            [task for task in tasks if task not in TASKS],
            lambda task: f"the task {_shorten(task)} is none of the Hub's, and is kept{_hint(task)}",
        )
        problems = {name: _wrong_key(name) for name in sorted({name for row in rows for name in row} - KNOWN_COLUMNS)}
        self._warn(
            [name for name, problem in problems.items() if problem is not None],
            lambda name: f"the column {_shorten(name)} {problems[name]}",
        )

    def row_of(self, path: str) -> Row:
        """Return what the rows state of a file; later rows, and such that name it exactly, overrule others.

        Args:
            path: POSIX path below the folder of the metadata file.
        """
        merged: Row = {}
        for pattern, row in self.patterns:
            if fnmatchcase(path, pattern):
                self.matched.add(pattern)
                merged |= row
        for row in self.exact.get(path, ()):
            self.matched.add(path)
            merged |= row
        return merged

    def warn_unmatched(self) -> None:
        """Log every path and pattern that no file matches."""
        stated = [*self.exact, *(pattern for pattern, _ in self.patterns)]
        unmatched = [target for target in stated if target not in self.matched]
        self._warn(unmatched, lambda target: f"no file matches {_shorten(target)}")


class MetadataLookup:
    """Finds for each file of a folder what the nearest metadata file states of it.

    Args:
        root: The folder that is listed.
        previous_states: What the dataset knows of the checkpoints, by name.
    """

    def __init__(self, root: Path, previous_states: Mapping[str, PreviousState]) -> None:
        self._root = root
        self._previous_states = previous_states
        self._folders: dict[str, FolderMetadata | None] = {}

    def is_metadata(self, name: str) -> bool:
        """Return whether a file is the metadata file of its folder."""
        folder, _, file = name.rpartition("/")
        if file not in READERS:
            return False
        found = self._folder(f"{folder}/" if folder else "")
        return found is not None and found.name == name

    def apply(self, checkpoint: Checkpoint, name: str) -> Checkpoint:
        """Return a checkpoint with what the metadata states of it.

        Args:
            checkpoint: The checkpoint.
            name: POSIX path of its main file below the root.
        """
        parts = name.split("/")[:-1]
        for depth in range(min(len(parts), _MAX_DEPTH), -1, -1):
            prefix = "".join(f"{part}/" for part in parts[:depth])
            found = self._folder(prefix)
            if found is not None and found.broken:
                return _as_before(checkpoint, self._previous_states.get(checkpoint.name))
            if found is not None:
                return with_metadata(checkpoint, found.row_of(name.removeprefix(prefix)), found.name)
        return checkpoint

    def warn_unmatched(self) -> None:
        """Log every row that no file matches."""
        for found in self._folders.values():
            if found is not None:
                found.warn_unmatched()

    def _folder(self, prefix: str) -> FolderMetadata | None:
        if prefix not in self._folders:
            self._folders[prefix] = FolderMetadata.read(self._root, prefix)
        return self._folders[prefix]


def _as_before(checkpoint: Checkpoint, known: PreviousState | None) -> Checkpoint:
    """Return a checkpoint with what the dataset knows of it."""
    if known is None:
        return checkpoint
    extra = dict(known.meta.extra)
    arch = extra.pop("arch", checkpoint.arch)
    return replace(checkpoint, meta=replace(known.meta, extra=extra), run=known.run or checkpoint.run, arch=arch)


def with_metadata(checkpoint: Checkpoint, row: Mapping[str, Any], where: str) -> Checkpoint:
    """Return a checkpoint with what a row states of it; a value that is wrong is logged and left out.

    Args:
        checkpoint: The checkpoint.
        row: Values by column.
        where: Name of the metadata file, for messages.
    """
    if not row:
        return checkpoint
    values = {name: value for name, value in _checked(row, f"{where}: {checkpoint.name}") if value is not None}
    texts = {name: values[name] for name in TEXTS if name in values}
    if "license" in texts:
        texts.setdefault("license_evidence", f"{where}: {row['license']}")
    meta = CheckpointMetadata(
        **texts,
        training_datasets=values.get("training_datasets", ()),
        metrics=values.get("metrics", {}),
        extra={
            **checkpoint.meta.extra,
            **{name: value for name, value in values.items() if name not in KNOWN_COLUMNS or name == "arch"},
        },
    )
    changed = replace(checkpoint, meta=meta, arch=values.get("arch", checkpoint.arch))
    if any(name in values for name in RUN):
        before = checkpoint.run or TrainingRun(id=None)
        if before.step is not None and values.get("step", before.step) != before.step:
            changed = replace(changed, meta=replace(meta, extra={**meta.extra, "step_in_name": before.step}))
        changed = replace(
            changed,
            run=TrainingRun(
                id=values.get("run_id", before.id),
                step=values.get("step", before.step),
                seed=values.get("seed", before.seed),
                final=values.get("run_final", before.final),
            ),
        )
    return changed


def _checked(row: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name in reserved_columns():
            continue
        try:
            yield name, convert(name, value)
        except (ValueError, OverflowError) as error:
            logger.warning("%s: %s is %.60r, %s", where, name, value, error)


def _enumerate(numbers: Sequence[int]) -> str:
    shown = [str(number) for number in numbers[:_MAX_WARNINGS]]
    return " and ".join(shown if len(numbers) <= _MAX_WARNINGS else [*shown, f"{len(numbers) - len(shown)} more"])


def _shorten(text: str) -> str:
    return f"{text[:_MAX_SHOWN]!r}" if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]!r}..."


def _hint(task: str) -> str:
    similar = difflib.get_close_matches(task[:_MAX_SHOWN].lower(), TASKS, 1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def _wrong_key(name: str) -> str | None:
    if name in reserved_columns():
        return "is written by filtercrawl and left out"
    similar = difflib.get_close_matches(name[:_MAX_SHOWN].lower(), KNOWN_COLUMNS, 1, _SIMILAR)
    return f"is kept as extra; did you mean {similar[0]!r}?" if similar else None
