"""What holds after every run of a release."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filtercrawl.dataset.card import card
from filtercrawl.dataset.files.unpublished import TEMPORARY
from filtercrawl.dataset.schema.version_order import release_order
from support.crashes.commands import Ended, Job
from support.nights.world import Network, World

# Requests to the Hub of a night without news.
MOST_REQUESTS: Final = {"kept": 10, "empty": 60}
_LICENSES: Final = {"mit": "MIT", "apache-2.0": "Apache-2.0"}
_FOLDERS: Final = ("data/", "analysis/", "subsets/")

# The networks of a dataset, by the id of their checkpoint.
Content = Mapping[str, Network]


@dataclass(frozen=True, kw_only=True)
class State:
    """The repository at a moment.

    Attributes:
        tags: Commit by version, in the order of versions.
        head: The commit of `main`; None where there is no repository.
    """

    tags: Mapping[str, str]
    head: str | None

    @classmethod
    def of(cls, world: World) -> State:
        if world.repo is None:
            return cls(tags={}, head=None)
        tags = {name: commit.sha for name, commit in world.tags().items()}
        return cls(tags=tags, head=world.repo.head.sha)


def faults_of_versions(before: State, after: State, given_up: set[str]) -> Iterator[str]:
    """Say which versions moved, went, or are not in the order in which they were made."""
    for name, commit in before.tags.items():
        if after.tags.get(name) != commit and name not in given_up:
            yield f"version {name} was {commit}, and is {after.tags.get(name)}"
    new = [name for name in after.tags if name not in before.tags]
    if len(new) > 1:
        yield f"more than one new version: {new}"
    older = [name for name in before.tags if name not in given_up]
    if new and older and release_order(new[0]) < max(map(release_order, older)):
        yield f"version {new[0]} comes before {older[-1]}"


def faults_of_main(world: World) -> Iterator[str]:
    """Say in what `main` differs from the last version, edits of the card and files beside the dataset aside."""
    assert world.repo is not None
    last, head = list(world.tags().values())[-1].files, world.repo.head.files
    for path in sorted(last.keys() | head.keys()):
        ours = path in last or path.startswith(_FOLDERS)
        if ours and path != card.PATH and last.get(path) != head.get(path):
            yield f"main differs from the last version in {path}"


def faults_of_content(found: Mapping[str, Any], expected: Content) -> Iterator[str]:
    """Compare what readers get of a revision with the networks it is to hold."""
    wanted = {
        f"{model_id}#{name}": digest
        for model_id, network in expected.items()
        for name, digest in network.layers().items()
    }
    index = {layer_id: digest for layer_id, digest in found["index"].items() if digest is not None}
    yield from (f"lost {layer_id}" for layer_id in sorted(wanted.keys() - index.keys()))
    yield from (f"{layer_id} should not be there" for layer_id in sorted(index.keys() - wanted.keys()))
    both = sorted(index.keys() & wanted.keys())
    yield from (f"{layer_id} has other weights" for layer_id in both if index[layer_id] != wanted[layer_id])
    stored = set(found["layers"].values())
    yield from (f"no weights of {layer_id}" for layer_id, digest in index.items() if digest not in stored)
    for model_id in sorted(expected.keys() & found["licenses"].keys()):
        stated, right = found["licenses"][model_id], _LICENSES[expected[model_id].license]
        if stated != right:
            yield f"{model_id} has the license {stated}, not {right}"


def choose_content(main: Mapping[str, Any], before: Content, offered: Content) -> dict[str, Network]:
    """Return for each checkpoint what `main` may have of it, where some of the zoos could not be listed.

    That is what is offered, or what was there; a new one may be missing, and one that is gone may be there.
    """
    there = {layer_id.partition("#")[0] for layer_id in main["index"]}
    chosen = {}
    for model_id in before.keys() | offered.keys():
        known = [content[model_id] for content in (offered, before) if model_id in content]
        if model_id in there or len(known) == 2:
            chosen[model_id] = next((one for one in known if holds(main, model_id, one)), known[-1])
    return chosen


def holds(main: Mapping[str, Any], model_id: str, network: Network) -> bool:
    """Tell whether `main` has these weights under this id."""
    return all(main["index"].get(f"{model_id}#{layer}") == digest for layer, digest in network.layers().items())


def same_content(one: Content, other: Content) -> bool:
    """Tell whether two have the same checkpoints, weights, licenses, gates and names."""
    first, second = (
        {
            model_id: (network.seed, network.license, network.gated, network.renames)
            for model_id, network in each.items()
        }
        for each in (one, other)
    )
    return first == second


def faults_of_record(job: Job, ended: Ended) -> Iterator[str]:
    """Say what is wrong with `run.json`, unless it is of an earlier run: the folder may be none yet, or full."""
    path = Path(job.folder, "dataset/analysis/run.json")
    record = json.loads(path.read_bytes()) if path.is_file() else {}
    is_of_run = record.get("started") == datetime.fromtimestamp(job.clock, UTC).isoformat(timespec="seconds")
    if is_of_run and not ended.killed and job.disk is None and record["exit_code"] != ended.status:
        yield f"run.json states the exit code {record['exit_code']}, not {ended.status}"


def files_left(folder: Path) -> set[Path]:
    """Return temporary files of commands that ran on a machine: in the system's folder, and in the dataset's own."""
    places = (Path(f"{folder}.tmp"), folder / "dataset" / TEMPORARY)
    return {path for place in places if place.is_dir() for path in place.iterdir()}
