"""What licences let be published, and what is taken out: no weights stay anywhere in the dataset."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from conftest import Sync
from filtercrawl.api import Checkpoint, CheckpointMetadata, RemoteFile
from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.cli.app import build
from filtercrawl.config import resolve
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.config.spdx import is_redistributable
from filtercrawl.pipeline.report import SyncReport
from filtercrawl_publish.verification import verify_folder
from support.plugins import declared, source
from support.zoo_files import layers, models, published, put, state, table

Terms = dict[str, str | None]
SyncTerms = Callable[..., SyncReport]
METADATA = LicensePolicy(metadata=("CC-BY-NC-4.0",))
DROP = LicensePolicy(drop=("CC-BY-NC-4.0",))


@pytest.fixture
def terms() -> Terms:
    """Name -> licence of each checkpoint that the source `terms` offers; the files are those of `zoo`."""
    return {}


@pytest.fixture
def sync_terms(zoo: Path, terms: Terms, run_sync: Sync, monkeypatch: pytest.MonkeyPatch) -> SyncTerms:
    def offers() -> Iterator[Checkpoint]:
        for name, license_id in terms.items():
            file = RemoteFile(url=(zoo / name).as_uri(), path=name)
            yield Checkpoint(name=name, files=(file,), meta=CheckpointMetadata(license=license_id))

    found = load_plugins([*declared(), source(monkeypatch, "terms", offers)])

    def call(policy: LicensePolicy = LicensePolicy(), **settings: Any) -> SyncReport:  # noqa: B008 - frozen
        return run_sync("terms", plugins=found, license_policy=policy, **settings)

    return call


def outcomes(dataset: Path) -> dict[str, tuple[str, str | None]]:
    return {id_.removeprefix("terms/"): (row["outcome"], row["reason"]) for id_, row in models(dataset).items()}


def with_weights(dataset: Path) -> set[str]:
    return {layer_id.partition("#")[0].removeprefix("terms/") for layer_id in layers(dataset)}


def sound(dataset: Path) -> None:
    assert [str(finding) for finding in verify_folder(dataset)] == []


def test_metadata_is_rows_without_weights(zoo: Path, dataset: Path, terms: Terms, sync_terms: SyncTerms) -> None:
    for name, license_id in (("a", "CC-BY-NC-4.0"), ("b", "MIT"), ("c", None)):
        put(zoo / name, state(ord(name)))
        terms[name] = license_id
    sync_terms(METADATA)
    assert with_weights(dataset) == {"b", "c"}
    row = models(dataset)["terms/a"]
    assert (row["outcome"], row["layers_file"], row["n_layers"], row["license_policy"]) == (
        "emitted",
        None,
        2,
        "metadata",
    )
    index = [row for row in table(dataset, "index") if row["model_id"] == "terms/a"]
    assert len([row for row in index if row["layer_sha256"] is not None]) == 2
    assert {row["file"] for row in index} == {None}
    for name in ("samples", "preview"):
        assert "terms/a" not in {row["model_id"] for row in table(dataset, name)}
    hashes = {row["layer_sha256"] for row in index}
    assert not hashes & {row["layer_sha256"] for row in table(dataset, "sketches/terms")}
    sound(dataset)
    before = published(dataset)
    assert sync_terms(METADATA).checkpoints["unchanged"] == 3
    assert published(dataset) == before
    sync_terms(METADATA, rebuild=True)
    assert published(dataset) == before


@pytest.mark.parametrize("policy", [METADATA, DROP])
def test_a_new_policy_holds_for_what_is_there_and_back(
    zoo: Path, dataset: Path, terms: Terms, sync_terms: SyncTerms, policy: LicensePolicy
) -> None:
    put(zoo / "a", state(1))
    put(zoo / "b", state(2))
    terms |= {"a": "CC-BY-NC-4.0", "b": "MIT"}
    sync_terms()
    everything = layers(dataset)
    sync_terms(policy)
    assert with_weights(dataset) == {"b"}
    sound(dataset)
    sync_terms()
    again = layers(dataset)
    assert again.keys() == everything.keys()
    assert all((again[layer_id] == everything[layer_id]).all() for layer_id in again)
    assert models(dataset)["terms/a"]["license_policy"] is None
    sound(dataset)


def test_dropped_before_it_is_fetched(zoo: Path, dataset: Path, terms: Terms, sync_terms: SyncTerms) -> None:
    put(zoo / "b", state(2))
    terms |= {"a": "CC-BY-NC-4.0", "b": "MIT"}  # there is no file a
    report = sync_terms(DROP)
    assert not report.failures
    assert outcomes(dataset) == {
        "a": ("skipped", "license CC-BY-NC-4.0: the policy is drop"), "b": ("emitted", None),
    }  # fmt: skip
    terms["b"] = "CC-BY-NC-4.0"  # its source thinks better of it
    sync_terms(DROP)
    assert outcomes(dataset)["b"][0] == "skipped"
    assert not list((dataset / "data").rglob("layers/**/*.parquet"))
    sound(dataset)


@pytest.mark.parametrize("order", ["ab", "ba", "together"])
def test_one_content_under_two_licences(
    zoo: Path, dataset: Path, terms: Terms, sync_terms: SyncTerms, order: str
) -> None:
    put(zoo / "a", state(1))
    shutil.copy(zoo / "a", zoo / "b")
    both: Terms = {"a": "CC-BY-NC-4.0", "b": "MIT"}
    for names in [order] if order != "together" else ["ab"]:
        for name in names if order != "together" else [names]:
            terms |= {one: both[one] for one in name}
            sync_terms(METADATA)
    assert with_weights(dataset) == {"b"}
    row = models(dataset)["terms/a"]
    assert (row["outcome"], row["duplicate_of"], row["license_policy"]) == ("duplicate", "terms/b", None)
    sound(dataset)
    # When the one that may be published goes, the other one must not get its weights.
    withdrawn(dataset, "terms/b", policy='metadata = ["CC-BY-NC-4.0"]')
    assert with_weights(dataset) == set()
    row = models(dataset)["terms/a"]
    assert (row["outcome"], row["duplicate_of"], row["license_policy"]) == ("emitted", None, "metadata")
    sound(dataset)


def test_a_withheld_keeper_hands_its_weights_on(zoo: Path, dataset: Path, terms: Terms, sync_terms: SyncTerms) -> None:
    put(zoo / "a", state(1))
    for name in "bc":
        shutil.copy(zoo / "a", zoo / name)
    terms |= {"a": "CC-BY-NC-4.0", "b": "CC-BY-NC-4.0", "c": "MIT"}
    sync_terms()
    assert with_weights(dataset) == {"a"}
    sync_terms(METADATA)
    assert with_weights(dataset) == {"c"}
    assert {name: row[0] for name, row in outcomes(dataset).items()} == {
        "a": "duplicate",
        "b": "duplicate",
        "c": "emitted",
    }
    sound(dataset)
    del terms["c"]
    sync_terms(METADATA, prune=True)
    assert with_weights(dataset) == set()
    assert {row["license_policy"] for row in models(dataset).values() if row["n_layers"]} == {"metadata"}
    sound(dataset)
    terms["c"] = "MIT"
    sync_terms(METADATA)
    assert with_weights(dataset) == {"c"}
    sound(dataset)


def withdrawn(dataset: Path, *model_ids: str, reason: str = "the author asked", policy: str = "") -> Any:
    """Run the command; returns what it prints."""
    Path("filtercrawl.toml").write_text(f"[license]\n{policy}\n")
    arguments = ["withdraw", *model_ids, "--dataset", str(dataset), "--reason", reason, "--json"]
    return json.loads(CliRunner().invoke(build(load_plugins()), arguments, catch_exceptions=False).stdout)


def test_withdrawn_for_good(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(2))
    shutil.copy(zoo / "a.safetensors", zoo / "c.safetensors")
    run_sync()
    content = layers(dataset)
    found = withdrawn(dataset, "local/a.safetensors", "local/b.safetensors")
    assert found["promoted"] == ["local/c.safetensors"]
    assert len(found["files"]) == 2
    assert not any((dataset / file).exists() for file in found["files"])
    rows = models(dataset)
    assert {id_: row["outcome"] for id_, row in rows.items()} == {
        "local/a.safetensors": "withdrawn", "local/b.safetensors": "withdrawn", "local/c.safetensors": "emitted",
    }  # fmt: skip
    assert rows["local/a.safetensors"]["reason"] == "the author asked"
    tombstones = table(dataset, "withdrawn")
    assert [(row["model_id"], row["reason"]) for row in tombstones] == [
        ("local/a.safetensors", "the author asked"), ("local/b.safetensors", "the author asked"),
    ]  # fmt: skip
    kept = layers(dataset)
    assert {layer_id.partition("#")[0] for layer_id in kept} == {"local/c.safetensors"}
    for layer_id, weight in kept.items():
        assert (content[layer_id.replace("/c.", "/a.")] == weight).all()
    assert {row["model_id"] for name in ("index", "samples", "preview") for row in table(dataset, name)} == {
        "local/c.safetensors"
    }
    sound(dataset)
    before = published(dataset)
    for settings in ({}, {"retry": "all"}, {"prune": True}, {"opt_out": ("local:a*",)}, {"rebuild": True}):
        run_sync(**settings)
    put(zoo / "b.safetensors", state(22))
    run_sync()
    assert published(dataset) == before
    withdrawn(dataset, "local/a.safetensors", reason="another reason")
    assert [row["withdrawn"] for row in table(dataset, "withdrawn")] == [row["withdrawn"] for row in tombstones]


def test_what_is_not_there_cannot_be_withdrawn(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    before = published(dataset)
    with pytest.raises(UsageError, match=r"did you mean local/a\.safetensors"):
        withdrawn(dataset, "local/a.safetensors", "local/a.safetensor")
    with pytest.raises(UsageError, match="--reason is empty"):
        withdrawn(dataset, "local/a.safetensors", reason=" ")
    assert published(dataset) == before


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('default = "maybe"', "one of keep, metadata, drop"),
        ('keep = "MIT"', "a list of SPDX license ids"),
        ('keep = ["MIT"]\ndrop = ["mit"]', "more than one list"),
        ('Keep = ["MIT"]', "unknown key 'Keep'"),
    ],
)
def test_wrong_settings(text: str, wrong: str) -> None:
    Path("filtercrawl.toml").write_text(f"[license]\n{text}\n")
    with pytest.raises(UsageError, match=wrong):
        resolve({})


def test_settings_are_read() -> None:
    Path("filtercrawl.toml").write_text(
        '[license]\ndefault = "metadata"\nunknown = "drop"\nkeep = ["MIT", "GPL-3.0"]\n'
    )
    policy = resolve({}).license_policy
    cases = {
        "MIT": "keep", "mit": "keep", "GPL-3.0-only": "keep", "GPL-3.0-or-later": "keep", "gemma": "metadata",
        None: "drop",
        "MIT OR gemma": "keep", "MIT AND gemma": "metadata", "(gemma OR MIT) AND GPL-3.0-only": "keep",
        "GPL-3.0-only WITH GCC-exception-3.1": "keep", "a licence OR so": "metadata", "MIT AND": "metadata",
        "": "metadata",
    }  # fmt: skip
    assert {text: policy.decide(text) for text in cases} == cases


NAMES = st.sampled_from(["MIT", "CC-BY-NC-4.0", "Apache-2.0", "GPL-2.0-only"])
EXPRESSIONS = st.recursive(
    NAMES.map(lambda name: (name, name != "CC-BY-NC-4.0")),
    lambda inner: st.tuples(inner, st.sampled_from([" OR ", " and "]), inner).map(
        lambda parts: (
            f"({parts[0][0]}){parts[1]}({parts[2][0]})",
            parts[0][1] or parts[2][1] if "OR" in parts[1] else parts[0][1] and parts[2][1],
        )
    ),
)


@given(EXPRESSIONS)
def test_expressions(case: tuple[str, bool]) -> None:
    assert is_redistributable(case[0]) is case[1]


@given(st.text())
def test_any_text_is_decided(text: str) -> None:
    assert is_redistributable(text) in (True, False)
    assert LicensePolicy(default="drop").decide(text) == "drop"


def test_no_secret_and_no_path_of_this_machine_is_published(
    zoo: Path, dataset: Path, tmp_path: Path, run_sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hf_" + "Zq7XwV" * 6
    monkeypatch.setenv("HF_TOKEN", secret)
    monkeypatch.setenv("ACME_TOKEN", secret)
    put(zoo / "a.safetensors", state(1))
    (zoo / "broken.pt").write_bytes(b"PK\x03\x04")
    (zoo / "odd.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    report = run_sync(auth={"https://acme.example": "ACME_TOKEN"}, opt_out=(f"local:{tmp_path}*",))
    assert report.failures
    withdrawn(dataset, "local/a.safetensors", reason="asked")
    told = [pq.read_table(path).to_pylist() for path in (dataset / "data").rglob("*.parquet")]
    files = [path for path in dataset.rglob("*") if path.is_file() and ".filtercrawl" not in path.parts]
    texts = [path.read_bytes() for path in files]
    texts.append(repr(told).encode())
    for text in texts:
        assert secret.encode() not in text
        assert str(tmp_path).encode() not in text
        assert re.search(rb"file:/|/home/|/tmp/", text) is None
