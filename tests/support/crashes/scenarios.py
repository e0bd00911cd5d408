"""What is killed: a command in a folder, before and after a quiet run of it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from support.crashes.commands import Commands, Ended, Job
from support.zoo_files import put, state

_SYNC: Final = ("local:zoo", "--engine", "threads", "--device", "cpu", "--prune")
DATASET: Final = ("--dataset", "dataset")
SYNC: Final = ("sync", *_SYNC, *DATASET)
ANALYZE: Final = ("analyze", *DATASET, "--jobs", "1", "--only", "census")
PUBLISH: Final = ("publish", "./repo", *DATASET)
# Of its three parts, analyses have a scenario of their own.
RELEASE: Final = ("--no-plugin", "analyses", "release", "./repo", *_SYNC, *DATASET, "--allow-loss")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command, and what it starts from and leads to.

    Attributes:
        name: Of the scenario.
        arguments: The command.
        work: The folder in which it runs; the zoo in it stays, since files are known by times and inode.
        start: All but the zoo, before.
        files: Digests of the files after a quiet run, but for databases and what names a process; links by target.
        quiet: How the quiet run ended.
    """

    name: str
    arguments: Sequence[str]
    work: Path
    start: Path
    files: dict[str, str]
    quiet: Ended

    def restore(self) -> None:
        for path in (*self.work.iterdir(), Path(f"{self.work}.tmp")):
            if path.is_symlink():
                path.unlink()
            elif path.name != "zoo":
                shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.start, self.work, symlinks=True, dirs_exist_ok=True)


def found(work: Path) -> dict[str, str]:
    """Return digests of all files that a command leaves, by path, with versions by their tags.

    Files that differ from run to run have none: databases, what names a process, `data/runs.parquet` and
    `analysis/run.json`, which say how long runs took, and the lists that state the hash of the latter.
    """
    names = _version_names(work)
    files = {}
    for path in sorted(work.rglob("*")):
        name = path.relative_to(work).as_posix()
        for commit, tag in names.items():
            name = name.replace(commit, tag)
        if path.is_symlink():
            target = path.readlink().name
            files[name] = names.get(target, target)
        # The mark of files that a folder lacks stays until the next version is made.
        elif path.is_file() and not name.startswith("zoo/") and path.name != "deferred.json":
            files[name] = "" if _varies(path, work) else hashlib.sha256(path.read_bytes()).hexdigest()
    return files


def _version_names(work: Path) -> dict[str, str]:
    """Return the tags of the versions in the repository, by the names of their folders."""
    tags = work / ".repo.versions/tags.json"
    if not tags.is_file():
        return {}
    return {tag["commit"]: name for name, tag in json.loads(tags.read_bytes()).items()}


def _varies(path: Path, work: Path) -> bool:
    versions = work / ".repo.versions"
    if (
        path.suffix == ".sqlite"
        or path.name in ("holder", "lock", "run.json", "runs.parquet")
        or path.parent == versions
    ):
        return True
    if not path.is_relative_to(versions):
        return False
    version = versions / path.relative_to(versions).parts[0]
    states_hashes = path == version / "manifest.json" or path.is_relative_to(version / "data/files")
    return states_hashes and (version / "analysis/run.json").is_file()


def _first_zoo(work: Path) -> None:
    for name, seed in (("b", 1), ("changed", 2), ("gone", 3), ("kept/twin", 3), ("old", 4)):
        put(work / f"zoo/{name}.safetensors", state(seed))


def _second_zoo(work: Path) -> None:
    zoo = work / "zoo"
    put(zoo / "changed.safetensors", state(6))
    put(zoo / "a.safetensors", state(1))  # the first of its kind from now on
    (zoo / "gone.safetensors").unlink()  # its twin takes over
    (zoo / "old.safetensors").rename(zoo / "renamed.safetensors")
    (zoo / "worse.safetensors").write_bytes(b"no checkpoint")
    torch.save({"state_dict": state(6)}, zoo / "same.pth")  # as `changed`, in another format
    put(zoo / "new.safetensors", {"wide.weight": torch.arange(400.0).view(4, 4, 5, 5)})


Step = Sequence[str] | Callable[[Path], None]

# The last step of each is the command that is killed.
_STEPS: Final[dict[str, tuple[Step, ...]]] = {
    "sync": (_first_zoo, SYNC),
    "sync an update": (_first_zoo, SYNC, _second_zoo, SYNC),
    "analyze": (_first_zoo, SYNC, ANALYZE),
    "analyze an update": (_first_zoo, SYNC, ANALYZE, _second_zoo, SYNC, ANALYZE),
    "publish": (_first_zoo, SYNC, PUBLISH),
    "publish an update": (_first_zoo, SYNC, (*PUBLISH, "--version", "v1"), _second_zoo, SYNC, PUBLISH),
    "release": (_first_zoo, RELEASE),
    "release an update": (_first_zoo, SYNC, (*PUBLISH, "--version", "v1"), _second_zoo, RELEASE),
}
NAMES: Final = tuple(_STEPS)


def play(name: str, folder: Path, commands: Commands) -> Scenario:
    """Play a scenario through once.

    Args:
        name: One of `NAMES`.
        folder: Where it gets folders of its own.
        commands: What runs them.
    """
    work, start = (folder / name.replace(" ", "-") / part for part in ("work", "start"))
    work.mkdir(parents=True)
    *before, last = _STEPS[name]
    for step in before:
        if callable(step):
            step(work)
        else:
            ended = commands.run(Job(arguments=step, folder=str(work)))
            assert ended.status in (0, 3), ended
    shutil.copytree(work, start, symlinks=True, ignore=shutil.ignore_patterns("zoo"))
    assert not callable(last)
    quiet = commands.run(Job(arguments=last, folder=str(work)))
    assert quiet.status in (0, 3), quiet  # 3: a checkpoint is none any more
    return Scenario(name=name, arguments=last, work=work, start=start, files=found(work), quiet=quiet)


class Scenarios:
    """Scenarios by name, each played through when it is first asked for."""

    def __init__(self, commands: Commands, folder: Path) -> None:
        self._commands = commands
        self._folder = folder
        self._played: dict[str, Scenario] = {}

    def __getitem__(self, name: str) -> Scenario:
        if name not in self._played:
            self._played[name] = play(name, self._folder, self._commands)
        return self._played[name]
