"""Plugins come in by entry points; a bad one is named and stops nobody else."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import Sync
from filtercrawl import api
from filtercrawl.api import hookspecs
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.api.plugin_modules import KINDS
from filtercrawl.load import load_layers, to_tensors
from filtercrawl.load.views import transformed
from support.paths import REPOSITORY
from support.plugins import BUNDLED, checkpoint, entry, skipped, source
from support.zoo_files import models, put, state, table


def test_bundled_plugins_load_like_any_other() -> None:
    found = load_plugins()
    assert set(found.sources) >= {"local", "packages"}
    assert {reader.name for reader in found.readers} >= {
        "safetensors",
        "sharded",
        "torch-zip",
        "torch-legacy",
        "torchscript",
        "onnx",
    }
    assert [measure.name for measure in found.measures] == ["quality"]
    assert {command.name for command in found.commands} >= {"analyze", "export fanns", "verify"}
    assert found.broken == ()


def raising() -> Iterator[Any]:
    raise RuntimeError("no such\nluck")


@pytest.mark.parametrize(
    ("hooks", "reason"),
    [
        ({"filtercrawl_sorces": lambda: iter(())}, "filtercrawl_sorces"),
        ({"filtercrawl_sources": raising}, "RuntimeError: no such luck"),
        ({"filtercrawl_sources": lambda: iter([42])}, "yields int, not Source"),
        ({"filtercrawl_sources": lambda: 42}, "returns int, not an iterable"),
        ({"filtercrawl_readers": lambda: iter([object()])}, "yields object, not Reader"),
        ({"filtercrawl_analyses": raising}, "RuntimeError: no such luck"),
        ({"filtercrawl_analyses": lambda: iter([42])}, "yields int, not Analysis"),
        ({"filtercrawl_sources": lambda: iter([type("Z", (), {"name": "../up", "checkpoints": print})()])}, "'../up'"),
        ({"filtercrawl_sources": lambda: iter([type("Z", (), {"name": "local", "checkpoints": print})()])}, "already"),
    ],
)
def test_a_broken_plugin_is_named_and_the_others_work(
    monkeypatch: pytest.MonkeyPatch, hooks: dict[str, Any], reason: str
) -> None:
    found = load_plugins([*BUNDLED, entry(monkeypatch, "zz", **hooks)])
    assert [broken.plugin for broken in found.broken] == ["zz"]
    assert reason in found.broken[0].reason
    assert "\n" not in found.broken[0].reason
    assert set(found.sources) >= {"local", "packages"}


def test_a_plugin_that_cannot_be_imported_is_named() -> None:
    gone = EntryPoint(name="gone", value="no_such_module_anywhere", group="filtercrawl.sources")
    found = load_plugins([*BUNDLED, gone])
    assert [(broken.plugin, "ModuleNotFoundError" in broken.reason) for broken in found.broken] == [("gone", True)]


def test_a_hook_is_called_only_where_its_group_declares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    both = entry(
        monkeypatch, "both", filtercrawl_sources=lambda: iter(()), filtercrawl_readers=lambda: iter([object()])
    )
    assert load_plugins([both]).broken == ()
    readers = EntryPoint(name="both", value=both.value, group="filtercrawl.readers")
    broken = load_plugins([both, readers]).broken
    assert [(failure.plugin, failure.reason) for failure in broken] == [
        ("both", "filtercrawl_readers: yields object, not Reader")
    ]


def test_a_group_without_its_hook_or_of_no_kind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = entry(monkeypatch, "lacks", filtercrawl_sources=lambda: iter(()))
    lacks = EntryPoint(name="lacks", value=lacks.value, group="filtercrawl.measures")
    stray = EntryPoint(name="stray", value="no_such_module", group="filtercrawl.sorces")
    reasons = {failure.plugin: failure.reason for failure in load_plugins([lacks, stray]).broken}
    assert reasons["lacks"] == "it is declared in the group filtercrawl.measures, but has no hook filtercrawl_measures"
    assert reasons["stray"].startswith("no entry-point group has the name filtercrawl.sorces; groups are ")


def test_a_plugin_may_add_visual_categories(
    monkeypatch: pytest.MonkeyPatch, zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    file = put(zoo / "one.safetensors", state())
    meta = api.CheckpointMetadata(training_datasets=("imagenet-1k", "lungs-2.0"))
    offer = replace(checkpoint("one", file.as_uri()), meta=meta)
    added = api.VisualCategory(dataset="lungs-2.0", category="medical xray")
    plugins = load_plugins(
        [
            *BUNDLED,
            source(monkeypatch, "acme", lambda: iter([offer])),
            entry(monkeypatch, "lungs", filtercrawl_visual_categories=lambda: iter([added])),
        ]
    )
    assert plugins.visual_categories["imagenet-1k"] == "natural"
    run_sync("acme", plugins=plugins)
    assert models(dataset)["acme/one"]["visual_category"] == "medical xray"
    assert {row["training_dataset"] for row in table(dataset, "index")} == {"lungs-2.0"}


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (raising, "RuntimeError: no such luck"),
        (lambda: iter(["nonsense"]), "yields str, neither Checkpoint nor Skipped"),
        (lambda: iter([checkpoint("one", "file:///x")]), "two checkpoints named 'one'"),
        (lambda: iter([checkpoint("a\nb", "file:///x")]), "the name 'a\\nb'"),
        (lambda: iter([api.Checkpoint(name="x", files=())]), "at least one"),
        (lambda: iter([api.Skipped(name="x", reason=None)]), "is no text"),  # type: ignore[arg-type]
    ],
)
def test_a_source_that_misbehaves_stops_no_other_and_removes_nothing(
    monkeypatch: pytest.MonkeyPatch, zoo: Path, dataset: Path, run_sync: Sync, second: Any, problem: str
) -> None:
    one, two = put(zoo / "one.safetensors", state(1)), put(zoo / "two.safetensors", state(2))
    good = [checkpoint("one", one.as_uri()), checkpoint("two", two.as_uri())]
    plugins = load_plugins([*BUNDLED, source(monkeypatch, "acme", lambda: iter(good))])
    run_sync("acme", plugins=plugins)

    def half() -> Iterator[Any]:
        yield good[0]
        yield from second()

    plugins = load_plugins([*BUNDLED, source(monkeypatch, "acme", half)])
    report = run_sync("acme", f"local:{zoo}", plugins=plugins, prune=True)
    assert problem in report.problems["acme"]
    assert report.removed_models == []
    assert {row["outcome"] for name, row in models(dataset).items() if name.startswith("acme/")} == {"emitted"}
    assert "local/one.safetensors" in models(dataset)


def test_a_skipped_checkpoint_is_told_and_neither_failed_nor_gone(
    monkeypatch: pytest.MonkeyPatch, zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    file = put(zoo / "one.safetensors", state())
    first = load_plugins([*BUNDLED, source(monkeypatch, "acme", lambda: iter([checkpoint("one", file.as_uri())]))])
    run_sync("acme", plugins=first)
    second = load_plugins([*BUNDLED, source(monkeypatch, "acme", lambda: iter([skipped("one"), skipped("two")]))])
    report = run_sync("acme", plugins=second, prune=True)
    assert report.removed_models == []
    assert models(dataset)["acme/one"]["outcome"] == "emitted"
    assert (models(dataset)["acme/two"]["outcome"], models(dataset)["acme/two"]["reason"]) == ("skipped", "gated")
    before = (dataset / "data/models/part.parquet").read_bytes()
    run_sync("acme", plugins=second)
    assert (dataset / "data/models/part.parquet").read_bytes() == before


def test_a_reader_of_a_stranger_reads_its_format(
    monkeypatch: pytest.MonkeyPatch, zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    class Raw:
        name = "raw"

        def can_read(self, file: api.RandomAccessFile) -> bool:
            return file.size > 4 and file.read(0, 4) == b"RAW!"

        def companion_paths(self, file: api.RandomAccessFile) -> tuple[str, ...]:
            return ()

        def tensors(self, files: api.Files) -> Iterator[api.StoredTensor]:
            extent = api.TensorLocation(file=files.main, offset=4, dtype="float32", shape=(2, 1, 3, 3))
            yield api.StoredTensor(
                name="w.weight", key="w.weight", shape=(2, 1, 3, 3), dtype="float32", location=extent
            )

    (zoo / "net.raw").write_bytes(b"RAW!" + bytes(72))
    plugins = load_plugins([*BUNDLED, entry(monkeypatch, "raw", filtercrawl_readers=lambda: iter([Raw()]))])
    assert run_sync(plugins=plugins).layers == 1
    assert models(dataset)["local/net.raw"]["format"] == "raw"


def test_the_public_names_are_these() -> None:
    assert api.__all__ == sorted(api.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    for name in api.__all__:
        assert hasattr(api, name)


DOCS = REPOSITORY / "docs/plugins.md"


def test_every_hook_is_documented_with_its_signature() -> None:
    page = DOCS.read_text("utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("filtercrawl_")]
    assert sorted(hooks) == sorted(f"filtercrawl_{kind}" for kind in KINDS)
    for name in hooks:
        signature = f"{name}{inspect.signature(getattr(hookspecs, name), eval_str=False)}".replace("'", "")
        assert signature in page, f"docs/plugins.md lacks: {signature}"
    assert set(re.findall(r"filtercrawl_\w+(?=\()", page)) <= set(hooks)


def test_examples_in_the_docs_work(zoo: Path, dataset: Path, run_sync: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    examples: dict[str, Any] = {"torch": torch} | {name: getattr(api, name) for name in api.__all__}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL):
        exec(compile(block, str(DOCS), "exec", flags=annotations.compiler_flag), examples)
    (zoo / "net.raw").write_bytes(b"RAW!" + torch.full((2, 1, 3, 3), 0.5).numpy().tobytes())
    one = entry(monkeypatch, "raw", filtercrawl_readers=lambda: iter([examples["Raw"]()]))
    two = entry(monkeypatch, "sums", filtercrawl_measures=lambda: iter([examples["Sums"]()]))
    three = entry(monkeypatch, "acme", filtercrawl_sources=examples["filtercrawl_sources"])
    four = entry(monkeypatch, "types", filtercrawl_analyses=lambda: iter([examples["StoredTypes"]()]))
    five = entry(monkeypatch, "views", filtercrawl_views=examples["filtercrawl_views"])
    bundled = (plugin for plugin in BUNDLED if plugin.name != "quality")
    plugins = load_plugins([*bundled, one, two, three, four, five])
    assert plugins.broken == ()
    assert run_sync(plugins=plugins).layers == 1
    assert table(dataset, "index")[0]["norm_l1"] == 9.0
    (stored,) = to_tensors(load_layers(dataset))
    (scaled,) = to_tensors(transformed(load_layers(dataset), plugins.views["unit-norm"]))
    assert torch.allclose(scaled, stored / stored.norm())
    assert plugins.views["sevens"].where == "kernel = '7x7'"
    assert "stored-types" in [analysis.name for analysis in plugins.analyses]

    class Listing:
        """Answers as the zoo of the example would."""

        def get_json(self, url: str) -> Any:
            assert url == "https://zoo.acme.example/index.json"
            return [
                {"model": "net", "url": "https://zoo.acme.example/net", "bytes": 1, "sha256": "0", "license": "MIT"}
            ]

        def pages(self, url: str) -> Iterator[Any]:
            yield self.get_json(url)

    offers = list(plugins.sources["acme"].checkpoints(Listing(), api.Query()))
    assert [(offer.name, offer.meta.license) for offer in offers] == [("net", "MIT")]
