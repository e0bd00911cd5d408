"""What holds at any moment, and what holds after one more run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from filtercrawl.dataset.card.card import Card
from filtercrawl.dataset.files.table_files import files_of
from support.crashes.commands import Ended
from support.crashes.ledger import faults_of_catalog, faults_of_tables, faults_of_zoo
from support.crashes.scenarios import Scenario, found

# Lines that tell of progress or are about one checkpoint, which a command may write before it fails.
_CRASH = re.compile(r"Traceback \(most recent call last\)|please report|unexpected \w+Error")
# OpenBLAS ends the process itself where it gets no memory.
_ERRORS = ("error: ", "OpenBLAS error: ")


def rows(dataset: Path, table: str, columns: list[str]) -> list[dict[str, Any]]:
    return [row for path in files_of(dataset, table) for row in pq.read_table(path, columns=columns).to_pylist()]


def faults_of_output(ended: Ended) -> list[str]:
    """Say what is wrong with how a command ended: a traceback, or a failure without one clear line."""
    if match := _CRASH.search(ended.output):
        return [f"{match[0]}: {ended.output[-2000:]}"]
    errors = [line for line in ended.output.splitlines() if line.startswith(_ERRORS)]
    if ended.status in (1, 2, 4, 5) and len(errors) != 1:
        return [f"exit code {ended.status} with {len(errors)} lines of error: {ended.output[-1000:]}"]
    if any(len(line) > 700 or not line.isprintable() for line in errors):
        return [f"an error that is not one clear line: {errors}"]
    return []


def faults_between(work: Path) -> list[str]:
    """Say what is wrong with a folder at any moment: a file cut short, a row or a card that names a missing file."""
    faults = []
    dataset = work / "dataset"
    places = [dataset, *([work / "repo"] if (work / "repo").is_symlink() else [])]
    for place in places:
        for path in (place / "data").rglob("*.parquet"):
            try:
                pq.read_table(path)
            except Exception as error:  # noqa: BLE001 - a finding, whatever it is
                faults.append(f"{path}: {error}")
        for table, column in (("index", "file"), ("models", "layers_file")):
            named = [row[column] for row in rows(place, table, [column]) if row[column]]
            faults += [
                f"{place}: {table} names {name}, which is missing" for name in named if not (place / name).exists()
            ]
        faults += _faults_of_card(place)
    # What is published is complete; the tables of the folder are written one after the other.
    return faults + faults_of_catalog(dataset) + [fault for place in places[1:] for fault in faults_of_tables(place)]


def _faults_of_card(place: Path) -> list[str]:
    if not (place / "README.md").is_file():
        return []
    header = Card.parse((place / "README.md").read_text("utf-8")).header
    return [
        f"{place}: the card names {pattern}, which matches nothing"
        for config in header["configs"]
        for data in config["data_files"]
        for pattern in (data["path"] if isinstance(data["path"], list) else [data["path"]])
        if not list(place.glob(pattern))
    ]


def faults_of_load(place: Path) -> list[str]:
    """Say what `datasets` cannot load of a dataset folder."""
    import datasets

    if not (place / "README.md").is_file():
        return []
    try:
        for name in datasets.get_dataset_config_names(str(place)):
            loaded = datasets.load_dataset(str(place), name, streaming=True)
            for split in loaded.values():
                for _ in split:
                    pass
    except Exception as error:  # noqa: BLE001 - a finding, whatever it is
        return [f"{place}: `datasets` does not load it: {error!r}"]
    return []


def faults_at_end(scenario: Scenario) -> list[str]:
    """Say in what a folder differs from what a quiet run leaves."""
    files = found(scenario.work)
    faults = [f"{name}: missing" for name in sorted(scenario.files.keys() - files.keys())]
    faults += [f"{name}: left over" for name in sorted(files.keys() - scenario.files.keys())]
    changed = [name for name, digest in files.items() if digest != scenario.files.get(name, digest)]
    faults += [f"{name}: differs from a quiet run's" for name in changed]
    return faults + faults_of_catalog(scenario.work / "dataset") + faults_of_ledger(scenario.work)


def faults_of_ledger(work: Path) -> list[str]:
    """Say where the published ledger does not balance after a command that was not disturbed."""
    return faults_of_tables(work / "dataset") + faults_of_zoo(work / "dataset", work / "zoo")


def left_in_temporary_folder(scenario: Scenario) -> list[str]:
    """Return what a command left in the system's folder for temporary files."""
    return sorted(path.name for path in Path(f"{scenario.work}.tmp").iterdir())
