"""What an export leaves in the folder: the same bytes always, whatever stops it, whatever the names are."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.card.body import escape
from filtercrawl.dataset.card.card import BEGIN, END
from filtercrawl.dataset.card.counts import FileTotals
from filtercrawl.dataset.files.atomic import atomic_write, write_text
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.manifest import PICTURE
from filtercrawl.dataset.files.parquet import record_batches, write_table
from filtercrawl.dataset.files.stored_layers import delete_orphans
from filtercrawl.dataset.files.table_files import files_of, table_of
from filtercrawl.dataset.schema.arrow import INDEX, TABLES
from filtercrawl.dataset.tables.export import export
from support.dataset_rows import DEPTHWISE, MemoryRows, Row, example, tree
from support.paths import TESTS
from support.zoo_files import table as table_rows


class Killed(BaseException):
    """Not an Exception: no code that mends errors may see it."""


def header(folder: Path) -> Any:
    return yaml.load((folder / "README.md").read_text().split("\n---\n")[0].removeprefix("---\n"), yaml.CSafeLoader)


def missing(folder: Path) -> list[str]:
    """Patterns of the card for which no file is."""
    if not (folder / "README.md").exists():
        return []
    entries = header(folder).get("configs", [])
    patterns = [path for entry in entries for part in entry["data_files"] for path in part["path"]]
    return [pattern for pattern in patterns if not list(folder.glob(pattern))]


def changed_dataset(folder: Path) -> MemoryRows:
    """Rows that lose two tables and win a checkpoint against what lies in the folder."""
    rows = example(folder)
    export(folder, rows)
    rows.add("local/new.pt", [DEPTHWISE])
    rows.rename_rows.clear()
    rows.ledger_rows.clear()
    return rows


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int, error: BaseException) -> None:
    """Let the disk take `steps` renames and removals, and raise at the next."""
    left = iter(range(steps))

    def counted(call: Any) -> Any:
        def wrapper(*args: Any, **options: Any) -> Any:
            if ".filtercrawl" in str(args[0]) and call is unlink:
                return call(*args, **options)
            if next(left, None) is None:
                raise error
            return call(*args, **options)

        return wrapper

    replace, unlink = os.replace, os.unlink
    monkeypatch.setattr(os, "replace", counted(replace))
    monkeypatch.setattr(os, "unlink", counted(unlink))


def test_two_exports_have_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export(tmp_path / name, example(tmp_path / name))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_nothing_is_rewritten_when_nothing_changed(tmp_path: Path) -> None:
    rows = example(tmp_path)
    first = export(tmp_path, rows)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    inodes = {path: path.stat().st_ino for path in tmp_path.rglob("*.*")}
    again = export(tmp_path, rows)
    assert again.changed == ()
    assert (again.counts, again.root) == (first.counts, first.root)
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert inodes == {path: path.stat().st_ino for path in tmp_path.rglob("*.*")}


def test_only_what_changed_is_rewritten(tmp_path: Path) -> None:
    rows = example(tmp_path)
    export(tmp_path, rows)
    rows.model_rows[0]["paper"] = "https://example.org/paper"
    assert export(tmp_path, rows).changed == (
        "README.md", "data/files/part.parquet", "data/models/part.parquet", "manifest.json",
    )  # fmt: skip


def test_tables_hold_the_rows(tmp_path: Path) -> None:
    rows = example(tmp_path)
    counts = export(tmp_path, rows).counts
    assert counts == {"models": 3, "layers": 10, "kernels": sum(row["n_kernels"] for row in rows.index_rows)}
    for name, expected in (
        ("index", sorted(rows.index_rows, key=lambda row: row["model_id"])),
        ("models", sorted(rows.model_rows, key=lambda row: row["model_id"])),
        ("withdrawn", rows.withdrawn_rows),
    ):
        table = pq.read_table(*files_of(tmp_path, name))
        assert table.schema.equals(TABLES[name])
        full = [{column: row.get(column) for column in TABLES[name].names} for row in expected]
        assert table.to_pylist() == full
    assert table_rows(tmp_path, "ledger") == [*rows.ledger_rows["local"], *rows.ledger_rows["packages"]]


def test_manifest_and_files_tell_the_truth(tmp_path: Path) -> None:
    (tmp_path / "data/sketches").mkdir(parents=True)
    (tmp_path / "data/sketches/part.parquet").write_bytes(b"made by somebody else")
    exported = export(tmp_path, example(tmp_path))
    listed = {row["path"]: row for row in table_rows(tmp_path, "files")}
    published = tree(tmp_path)
    lists = {"data/files/other.parquet", "data/files/part.parquet"}
    assert listed.keys() == published.keys() - {"README.md", "manifest.json", "data/runs.parquet", *lists}
    for path, row in listed.items():
        assert (row["size"], row["sha256"]) == (
            len(published[path]),
            hashlib.sha256(published[path]).hexdigest(),
        )
    tree_files = {path: published[path] for path in (*lists, "README.md")}
    lines = sorted(f"{hashlib.sha256(data).hexdigest()} {len(data)} {path}\n" for path, data in tree_files.items())
    manifest = json.loads(published["manifest.json"])
    assert manifest["root"] == exported.root == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert (manifest["schema_version"], manifest["dataset_id"]) == (1, "dataset-one")


def test_weights_may_be_absent_but_not_altered(tmp_path: Path) -> None:
    rows = example(tmp_path)
    root = export(tmp_path, rows).root
    path, *_ = rows.files[0]
    (tmp_path / path).unlink()
    assert export(tmp_path, rows).root == root
    (tmp_path / path).write_bytes(b"short")
    with pytest.raises(DatasetError, match=r"net-.*5 bytes, but \d+ were written"):
        export(tmp_path, rows)


@pytest.mark.parametrize("path", ["data/layers/../x/ab/a.parquet", "data/layers/a b/00/x.parquet", "/etc/passwd"])
def test_layer_files_lie_where_readers_look(tmp_path: Path, path: str) -> None:
    rows = example(tmp_path)
    rows.files.append((path, 1, "0" * 64))
    rows.index_rows[0]["file"] = path
    with pytest.raises(DatasetError, match="--rebuild"):
        export(tmp_path, rows)


def test_tables_without_rows_go(tmp_path: Path) -> None:
    rows = changed_dataset(tmp_path)
    gone = {"data/renames.parquet", "data/ledger/part.parquet"}
    assert gone <= set(export(tmp_path, rows).changed)
    assert not gone & tree(tmp_path).keys()
    assert not gone & {row["path"] for row in table_rows(tmp_path, "files")}
    assert "renames" not in {entry["config_name"] for entry in header(tmp_path)["configs"]}


def test_an_empty_dataset_has_a_card_and_no_config(tmp_path: Path) -> None:
    rows = MemoryRows(tmp_path)
    export(tmp_path, rows)
    assert sorted(tree(tmp_path)) == ["README.md", "manifest.json"]
    assert "configs" not in header(tmp_path)
    full = example(tmp_path)
    export(tmp_path, full)
    delete_orphans(tmp_path, rows)
    export(tmp_path, rows)
    assert sorted(tree(tmp_path)) == ["README.md", "manifest.json"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("error", [Killed(), OSError(28, "No space left on device")], ids=["killed", "full"])
def test_stopped_anywhere_it_is_completed_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    export(tmp_path / "whole", changed_dataset(tmp_path / "whole"))
    whole = tree(tmp_path / "whole")
    reasons = set()
    for steps in range(100):
        folder = tmp_path / str(steps)
        rows = changed_dataset(folder)
        with monkeypatch.context() as patch:
            stop_after(patch, steps, error)
            try:
                export(folder, rows)
            except (Killed, DatasetError) as stopped:
                reasons.add(str(stopped).partition("(")[2])
            else:
                break
        assert missing(folder) == []
        for path in folder.rglob("data/**/*.parquet"):
            pq.read_metadata(path)
        export(folder, rows)
        assert tree(folder) == whole
        assert list((folder / ".filtercrawl/tmp").iterdir()) == []
    assert reasons == {"" if isinstance(error, Killed) else "No space left on device); see to the disk and run again"}
    # index, models, a ledger, samples, sketches, preview, picture, croissant, files, card, manifest; three go.
    assert steps == 13


@pytest.mark.exhaustive
def test_killed_without_any_cleanup(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from support.zoo_files import table as table_rows
from support.dataset_rows import example
from filtercrawl.dataset.tables.export import export
folder, steps, replace = Path(sys.argv[1]), int(sys.argv[2]), os.replace
def killing(*args):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*args)
os.replace = killing
export(folder, example(folder))
"""
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    export(whole, example(whole))
    command = [sys.executable, "-c", script, str(folder), "4"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    assert subprocess.run(command, check=False, env=environment).returncode == -signal.SIGKILL
    assert list((folder / ".filtercrawl/tmp").iterdir()) != []
    export(folder, example(folder))
    delete_orphans(folder, example(folder))
    assert tree(folder) == tree(whole)
    assert list((folder / ".filtercrawl/tmp").iterdir()) == []


def test_sweep_takes_only_what_the_catalog_does_not_know(tmp_path: Path) -> None:
    rows = example(tmp_path)
    rows.add("local/old.pt", [DEPTHWISE])
    export(tmp_path, rows)
    path = rows.index_rows[-1]["file"]
    rows.forget("local/old.pt")
    export(tmp_path, rows)
    assert delete_orphans(tmp_path, rows) == [path]
    assert [file for file, _, _ in rows.files] == sorted(p for p in tree(tmp_path) if p.startswith("data/layers/"))


def test_a_reader_of_the_folder_never_meets_a_card_that_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = changed_dataset(tmp_path)
    seen = []

    def watch(call: Any) -> Any:
        def wrapper(*args: Any, **options: Any) -> None:
            call(*args, **options)
            seen.append(missing(tmp_path))

        return wrapper

    monkeypatch.setattr(os, "replace", watch(os.replace))
    monkeypatch.setattr(os, "unlink", watch(os.unlink))
    export(tmp_path, rows)
    assert len(seen) > 8
    assert not any(seen)


def test_hand_written_parts_of_the_card_stay(tmp_path: Path) -> None:
    rows = example(tmp_path)
    export(tmp_path, rows)
    card = (tmp_path / "README.md").read_text()
    card = card.replace("tags:\n", "language: [en]\npretty_name2: Größe\ntags:\n- mine\n", 1)
    card = card.replace(BEGIN, f"Above, by hand: \\1 é\n\n{BEGIN}").replace(
        END, f"{END}\n\n## Below\n\n---\n\nby hand\n"
    )
    (tmp_path / "README.md").write_text(card)
    rows.add("local/new.pt", [DEPTHWISE])
    export(tmp_path, rows)
    new = (tmp_path / "README.md").read_text()
    assert "Above, by hand: \\1 é\n\n" + BEGIN in new
    assert new.endswith(f"{END}\n\n## Below\n\n---\n\nby hand\n\n")
    assert header(tmp_path)["tags"][0] == "mine"
    assert header(tmp_path)["pretty_name2"] == "Größe"
    assert "11 layers" in new
    assert export(tmp_path, rows).changed == ()


def test_a_card_without_our_part_is_kept_whole(tmp_path: Path) -> None:
    rows = example(tmp_path)
    (tmp_path / "README.md").write_text("# Mine\n\nMy own words.\n")
    export(tmp_path, rows)
    assert (tmp_path / "README.md").read_text().endswith(f"{END}\n# Mine\n\nMy own words.\n")
    assert export(tmp_path, rows).changed == ()


@pytest.mark.parametrize(
    "text", [b"---\n: [\n---\n", b"---\n- a\n---\n", b"---\na: !!python/object:os.system x\n---\n", b"\xff"]
)
def test_a_broken_card_stops_the_export_before_it_writes(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "README.md").write_bytes(text)
    rows = example(tmp_path)
    with pytest.raises(DatasetError, match=r"^README\.md: .*fix or delete it$"):
        export(tmp_path, rows)
    assert not (tmp_path / "data/index/part.parquet").exists()


@pytest.mark.parametrize(
    ("licenses", "stated"),
    [
        (["mit", "mit"], "mit"),
        (["Apache-2.0"], "apache-2.0"),
        (["mit", "isc"], None),
        (["mit", None], None),
        (["Mine"], None),
    ],
)
def test_the_card_states_a_licence_only_if_all_have_it(
    tmp_path: Path, licenses: list[str | None], stated: str | None
) -> None:
    rows = MemoryRows(tmp_path)
    for number, terms in enumerate(licenses):
        rows.add(f"local/{number}", [DEPTHWISE], terms)
    export(tmp_path, rows)
    assert header(tmp_path).get("license") == stated


HOSTILE = [
    "a\nb\r\n---\nconfigs: []\n---\n", "| a | b |", "<script>alert(1)</script>", "`code` ``` x",
    "[x](javascript:alert(1))", "*a* _b_ **c** # d", f"{END} x {BEGIN}", "&lt; {x} %s {0}",
    "!!python/object:os.system", "- &a *a", "\u202egnp.\u2028x\x85", "名前 é 🦜", "x" * 10_000, "\0", "'\"\\",
    "null", "", "../../etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names(tmp_path: Path, text: str) -> None:
    rows = example(tmp_path)
    for row in (*rows.index_rows, *rows.model_rows):
        row["license"] = text
    rows.model_rows[0] |= {"name": text, "architecture": text, "reason": text}
    rows.index_rows[0] |= {"layer_id": text, "layer": text, "kernel": text, "source": text}
    rows.ledger_rows[text] = [{**rows.ledger_rows["local"][0], "tensor": text}]
    exported = export(tmp_path, rows)
    assert all((tmp_path / path).resolve().is_relative_to(tmp_path) for path in exported.changed)
    card = (tmp_path / "README.md").read_text()
    assert "license" not in header(tmp_path)
    assert [entry["config_name"] for entry in header(tmp_path)["configs"]].count("layers") == 1
    assert card.count(BEGIN) == card.count(END) == 1
    body = card.partition(BEGIN)[2]
    assert not any(mark in body for mark in ("<script>", "javascript:", "---\nconfigs", "| a | b |", "\x85", "\u202e"))
    lines = [line for line in body.splitlines() if line.startswith("|")]
    assert all(line.count("|") in (3, 4, 5) and len(line) < 1000 for line in lines)
    assert missing(tmp_path) == []
    index = pq.read_table(tmp_path / "data/index/part.parquet").to_pylist()
    assert (index[0]["layer_id"], index[0]["license"]) == (text, text)
    assert export(tmp_path, rows).changed == ()


def test_figures_of_the_analyses_are_on_the_card(tmp_path: Path) -> None:
    rows = example(tmp_path)
    evil = "](x)<script>alert(1)</script>"
    (tmp_path / "analysis/figures").mkdir(parents=True)
    named = ["analysis/figures/a.png", "analysis/figures/b.png", "../secret.png", "analysis/figures/not-there.png"]
    for path in named[:2]:
        (tmp_path / path).write_bytes(b"png")
    (tmp_path.parent / "secret.png").write_bytes(b"png")
    found = [{"figures": [{"title": evil, "caption": f"{evil} c", "files": [path]}]} for path in named]
    (tmp_path / "analysis/results.json").write_text(json.dumps({"analyses": found}))
    export(tmp_path, rows)
    body = (tmp_path / "README.md").read_text()
    assert re.findall(r"!\[[^]]*\]\(([^)]*)\)", body) == [PICTURE, *named[:2]]
    assert "<script>" not in body
    (tmp_path / "analysis/results.json").write_text('{"analyses": [{"figures": 3}]}')
    export(tmp_path, rows)
    assert (tmp_path / "README.md").read_text().count("![") == 1


def test_the_card_opens_with_kernels_that_are_published(tmp_path: Path) -> None:
    rows = example(tmp_path)
    assert PICTURE in export(tmp_path, rows).changed
    body = (tmp_path / "README.md").read_text().partition(BEGIN)[2]
    assert body.lstrip().startswith("# Convolution kernels\n\n![Kernels of 8 layers")
    listed = {row["path"]: row["sha256"] for row in table_rows(tmp_path, "files")}
    assert listed[PICTURE] == hashlib.sha256((tmp_path / PICTURE).read_bytes()).hexdigest()


def test_kernels_of_a_withdrawn_checkpoint_leave_the_picture(tmp_path: Path) -> None:
    rows = MemoryRows(tmp_path)
    rows.add("local/a.pt", [DEPTHWISE])
    export(tmp_path, rows)
    alone = (tmp_path / PICTURE).read_bytes()
    rows.add("local/b.pt", [DEPTHWISE])
    export(tmp_path, rows)
    assert (tmp_path / PICTURE).read_bytes() != alone
    assert "b.pt" in (tmp_path / "README.md").read_text()
    rows.forget("local/b.pt")
    export(tmp_path, rows)
    assert (tmp_path / PICTURE).read_bytes() == alone
    assert "b.pt" not in (tmp_path / "README.md").read_text()
    rows.forget("local/a.pt")
    assert PICTURE in export(tmp_path, rows).changed
    assert not (tmp_path / PICTURE).exists()
    assert "![" not in (tmp_path / "README.md").read_text()


def released(folder: Path, **facts: object) -> str:
    """The card of a folder whose index is that of a version."""
    digest = FileTotals.of(file for file in DatasetFolder(folder).files() if table_of(file.path) == "index").digest
    about = {"version": "v2026.01.02.3", "repository": "org/name", "index_digest": digest, **facts}
    (folder / "changes.json").write_text(json.dumps(about))
    export(folder, example(folder))
    return (folder / "README.md").read_text()


def test_a_published_version_is_cited_and_loaded_by_its_name(tmp_path: Path) -> None:
    export(tmp_path, example(tmp_path))
    assert "unpublished}" in (tmp_path / "README.md").read_text()
    card = released(tmp_path)
    assert "url = {https://huggingface.co/datasets/org/name/tree/v2026.01.02.3}" in card
    assert "year = {2026}" in card
    assert (
        'DIR = "org/name"\nlayers = load_dataset(DIR, "layers", split="train", streaming=True, revision="v202' in card
    )
    assert 'DIR = "hf://datasets/org/name@v2026.01.02.3"\nsizes = ' in card
    assert 'DIR = "org/name@v2026.01.02.3"\ntable = load_layers(' in card
    in_a_folder = released(tmp_path, repository=None, version="first")
    assert "version first}" in in_a_folder
    assert "year =" not in in_a_folder
    assert set(re.findall(r"^DIR = (.*)$", in_a_folder, re.MULTILINE)) == {"os.getcwd()", '"."'}


@pytest.mark.parametrize(
    "facts",
    [{"index_digest": "0" * 64}, {"index_digest": None}, {"version": "a}\n```"}, {"version": 3}],
    ids=["changed since", "not stated", "hostile", "no text"],
)
def test_what_is_no_version_is_not_cited_as_one(tmp_path: Path, facts: dict[str, object]) -> None:
    export(tmp_path, example(tmp_path))
    assert "unpublished}" in released(tmp_path, **facts)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"license": None}, "operator and measures of quality."),
        ({"license": "MIT"}, "operator, license and measures of quality."),
        ({"license": "MIT", "task": "segmentation"}, "operator, task, license and measures of quality."),
    ],
)
def test_the_card_names_what_is_known_of_at_least_one_layer(
    tmp_path: Path, values: dict[str, str | None], said: str
) -> None:
    rows = MemoryRows(tmp_path)
    rows.add("local/a.pt", [DEPTHWISE])
    for row in rows.index_rows:
        unknown = dict.fromkeys(("conv_depth", "task", "training_dataset", "visual_category"))
        row.update({**unknown, "sparsity": 0.5, **values})
    export(tmp_path, rows)
    body = (tmp_path / "README.md").read_text().partition(BEGIN)[2]
    assert f"layers of 1 checkpoint, bit for bit as it stores them, with what is known of each layer: {said}" in (
        body.replace("1 layer of", "layers of")
    )


def test_sizes_below_a_hundredth_of_a_megabyte_are_said_to_be_smaller(tmp_path: Path) -> None:
    export(tmp_path, example(tmp_path))
    body = (tmp_path / "README.md").read_text()
    assert "| < 0.01 |" in body
    assert "| 0.00 |" not in body


def test_the_card_counts_by_task_and_stays_small(tmp_path: Path) -> None:
    rows = example(tmp_path)
    for number, row in enumerate(rows.index_rows):
        row["task"] = f"task {number}" if number else None
    export(tmp_path, rows)
    text = (tmp_path / "README.md").read_text()
    assert "| task | kernels |" in text
    assert "| task 3 |" in text
    assert len(text.encode()) < 100_000


@given(st.text())
def test_escaped_text_is_one_line_without_markup(text: str) -> None:
    line = escape(text)
    assert line.isprintable()
    assert not set(line.replace("&#", "")) & set("<>|`*_[]()!\\{}$~@:/#\"'&")


class Counted(dict[str, Any]):
    """A row that knows how many of its kind there are at once."""

    alive = peak = 0

    def __init__(self, *args: Any, **items: Any) -> None:
        super().__init__(*args, **items)
        Counted.alive += 1
        Counted.peak = max(Counted.peak, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.mark.exhaustive
def test_a_large_table_is_written_in_bounded_memory(tmp_path: Path) -> None:
    source = MemoryRows(tmp_path)
    source.add("local/a", [DEPTHWISE])
    (row,) = source.index_rows
    rows = (Counted(row, layer_id=f"m#{number}") for number in range(50_000))
    table = write_table(tmp_path, "data/index/part.parquet", INDEX, record_batches(rows, INDEX))
    metadata = pq.read_metadata(tmp_path / "data/index/part.parquet")
    assert table is not None
    assert (table.rows, metadata.num_rows, metadata.num_row_groups) == (50_000, 50_000, 5)
    assert 10_000 <= Counted.peak <= 10_002


@pytest.mark.parametrize("row", [{"path": "a", "size": "many", "sha256": ""}, {"path": None, "size": 1, "sha256": ""}])
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, row: Row) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/files.parquet").write_bytes(b"old")
    with pytest.raises(DatasetError, match=r"^data/files\.parquet: a row does not fit"):
        write_table(tmp_path, "data/files.parquet", TABLES["files"], record_batches([row], TABLES["files"]))
    assert (tmp_path / "data/files.parquet").read_bytes() == b"old"


def test_replacing_is_all_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "data/layers/x.parquet"
    with atomic_write(target, tmp_path) as path:
        assert path.name.startswith(".")
        path.write_bytes(b"one")
        assert not target.exists()
    assert target.read_bytes() == b"one"

    def fail() -> None:
        with atomic_write(target, tmp_path) as path:
            path.write_bytes(b"two")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert target.read_bytes() == b"one"
    before = target.stat()
    with atomic_write(target, tmp_path) as path:
        path.write_bytes(b"one")
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not write_text(target, tmp_path, "one")
    assert write_text(target, tmp_path, "three")
    assert list((tmp_path / ".filtercrawl/tmp").iterdir()) == []


def test_bytes_are_on_disk_before_the_name_and_the_name_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    replace = os.replace

    def replaced(*args: Any) -> None:
        calls.append("replace")
        replace(*args)

    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(
        os, "fsync", lambda fd: calls.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
    )
    write_text(tmp_path / "a/b/x", tmp_path, "text")
    assert calls == ["file", "folder", "folder", "replace", "folder"]


def test_a_disk_that_refuses_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(DatasetError, match=r"data/x: cannot be written \(.*\); see to the disk and run again$"):
        write_text(tmp_path / "data/x", tmp_path, "text")
