"""The source `onnx`: what its manifest names, from a zoo on loopback."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Sync
from filtercrawl.api.checkpoint import Checkpoint, Offer, Skipped
from filtercrawl.api.errors import NetworkError, UsageError
from filtercrawl.api.source import Query
from filtercrawl.transport import network
from filtercrawl_plugins.sources.onnx_zoo.source import OnnxZoo
from support.http_server import FileServer
from support.hub.server import HubServer
from support.onnx_models import model, node, random_array, tensor
from support.zoo_files import layers, models

MANIFEST = "/zoo/ONNX_HUB_MANIFEST.json"
RESNET = "validated/vision/classification/resnet/model/resnet18-v1-7.onnx"
NAME = "vision/classification/resnet/model/resnet18-v1-7.onnx"


def entry(path: Any, content: bytes = b"x", **more: Any) -> dict[str, Any]:
    """An entry as the manifest has it."""
    facts = {
        "model_sha": hashlib.sha256(content).hexdigest(),
        "model_bytes": len(content),
        "tags": ["vision", "classification", "resnet"],
        "io_ports": {"inputs": [], "outputs": []},
        **more,
    }
    return {"model": "ResNet18-v1", "model_path": path, "onnx_version": "1.2", "opset_version": 7, "metadata": facts}


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


def offers(server: FileServer, listed: Any, pattern: str | None = None, /, **settings: Any) -> list[Offer]:
    server.put(MANIFEST, json.dumps(listed).encode())
    settings = {"manifest": f"{server.url}{MANIFEST}", **settings}
    return list(OnnxZoo().checkpoints(network(), Query(pattern=pattern, settings=settings)))


def test_an_entry_is_offered_with_what_the_manifest_proves(server: FileServer) -> None:
    (offer,) = offers(server, [entry(RESNET, b"abc")])
    assert isinstance(offer, Checkpoint)
    (file,) = offer.files
    digest = hashlib.sha256(b"abc").hexdigest()
    assert (offer.name, offer.aliases, offer.revision) == (NAME, (RESNET,), digest)
    assert file.url == f"{server.url}/zoo/{RESNET}"
    assert (file.size, file.sha256) == (3, digest)
    assert (offer.meta.task, offer.meta.family, offer.meta.library) == ("image-classification", "resnet", "onnx")
    assert (offer.meta.training_datasets, offer.meta.visual_category) == (("imagenet-1k",), "natural")
    assert (offer.meta.architecture, offer.meta.extra["opset"]) == ("ResNet18-v1", 7)
    assert (offer.meta.license, offer.meta.license_evidence) == (
        "Apache-2.0",
        "ONNX model zoo, vision/classification/resnet/README.md: Apache-2.0",
    )


def test_a_listing_is_one_request(server: FileServer) -> None:
    offers(server, [entry(f"validated/{number}.onnx", bytes([number])) for number in range(5)])
    assert [asked.path for asked in server.log] == [MANIFEST]


def test_the_revision_changes_with_the_bytes(server: FileServer) -> None:
    (before,), (same,), (after,) = (offers(server, [entry(RESNET, data)]) for data in (b"one", b"one", b"two"))
    assert isinstance(before, Checkpoint)
    assert isinstance(after, Checkpoint)
    assert before == same
    assert after.revision != before.revision


def test_the_same_bytes_are_offered_once(server: FileServer) -> None:
    paths = [f"validated/vision/classification/densenet-121/model/densenet-{number}.onnx" for number in (6, 8, 9)]
    first, other = offers(server, [entry(paths[0], b"a"), entry(paths[1], b"b"), entry(paths[2], b"a")])
    assert isinstance(first, Checkpoint)
    assert first.name == paths[0].removeprefix("validated/")
    assert first.aliases == (paths[0], paths[2].removeprefix("validated/"), paths[2])
    assert other.name == paths[1].removeprefix("validated/")
    (again,) = offers(server, [entry(paths[0], b"a"), entry(paths[2], b"a")], "*densenet-9.onnx")
    assert again.name == first.name


def test_patterns_with_and_without_the_top_folder(server: FileServer) -> None:
    manifest = [entry(RESNET, b"a"), entry("validated/text/machine_comprehension/bert-squad/model/b-10.onnx", b"b")]
    for pattern in ("vision/classification/*", "validated/vision/*", NAME, RESNET):
        assert [offer.name for offer in offers(server, manifest, pattern)] == [NAME]
    with pytest.raises(UsageError, match="no name matches 'audio/\\*'"):
        offers(server, manifest, "audio/*")


ESCAPES = (
    *("../etc/passwd", "/etc/passwd", "validated/../../x.onnx", "http://evil.example/x", "//evil.example/x"),
    *("a\\b", "a\nb", "", ".", "a/./b", "a//b", None, 3, ["a"], "x" * 300),
)


@pytest.mark.parametrize("path", ESCAPES)
def test_a_path_that_would_escape_is_skipped(server: FileServer, path: Any) -> None:
    bad, good = offers(server, [entry(path), entry(RESNET)])
    assert isinstance(bad, Skipped)
    assert bad.name == "manifest/0"
    assert "not a plain relative" in bad.reason
    assert good.name == NAME


@pytest.mark.parametrize("digest", [None, "", "abc", "Z" * 64, 7, "A" * 64])
def test_an_entry_without_a_hash_is_skipped(server: FileServer, digest: Any) -> None:
    (skipped,) = offers(server, [entry(RESNET, model_sha=digest)])
    assert isinstance(skipped, Skipped)
    assert (skipped.name, skipped.reason) == (NAME, "the manifest states no sha256")


@pytest.mark.parametrize("size", [None, "12", -1, 0, 1.5, True, [3]])
def test_a_size_that_is_none_is_unknown(server: FileServer, size: Any) -> None:
    (offer,) = offers(server, [entry(RESNET, model_bytes=size)])
    assert isinstance(offer, Checkpoint)
    assert offer.files[0].size is None


@pytest.mark.parametrize("odd", [3, None, "text", [], {"metadata": 3}, {"model_path": RESNET, "metadata": "no"}])
def test_an_entry_of_another_shape_stops_no_other(server: FileServer, odd: Any) -> None:
    bad, good = offers(server, [odd, entry("validated/a.onnx")])
    assert isinstance(bad, Skipped)
    assert isinstance(good, Checkpoint)


@pytest.mark.parametrize("manifest", [{}, None, "x", {"models": []}])
def test_what_is_no_manifest_makes_no_complete_listing(server: FileServer, manifest: Any) -> None:
    with pytest.raises(NetworkError, match=r"ONNX_HUB_MANIFEST.json: no manifest"):
        offers(server, manifest)


def test_a_manifest_that_is_not_there_is_no_empty_one(server: FileServer) -> None:
    with pytest.raises(NetworkError, match=r"missing.json"):
        offers(server, [], manifest=f"{server.url}/missing.json")


@pytest.mark.parametrize(
    "settings",
    [{"manifest": "zoo.json"}, {"manifest": 3}, {"exports": "yes"}, {"visual_category": 1}],
)
def test_settings_are_checked(server: FileServer, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"sources.onnx"):
        offers(server, [entry(RESNET)], **settings)


def test_without_settings_the_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        manifest = json.dumps([entry(RESNET)]).encode()
        hub.create("onnxmodelzoo/legacy_models", {"ONNX_HUB_MANIFEST.json": manifest, RESNET: b"x"})
        (offer,) = OnnxZoo().checkpoints(network(), Query())
        assert isinstance(offer, Checkpoint)
        assert offer.files[0].url == f"{hub.url}/onnxmodelzoo/legacy_models/resolve/main/{RESNET}"
        assert network().open(offer.files[0]).read(0, 1) == b"x"


def test_exports_are_added_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer(page_size=2) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        manifest = json.dumps([entry(RESNET)]).encode()
        large = {"m/vit_Opset16.onnx": b"x", "m/vit_Opset16.onnx.data": b"y", "m/other.onnx": b"z", "README.md": b""}
        hub.create("onnxmodelzoo/legacy_models", {"ONNX_HUB_MANIFEST.json": manifest, RESNET: b"x"})
        sha = hub.create("onnxmodelzoo/vit_Opset16_timm", large)
        hub.create("onnxmodelzoo/secret", {"a.onnx": b"x"})
        hub.repos["onnxmodelzoo/secret"].gated = "auto"
        hub.create("someone/else", {"a.onnx": b"x"})
        found = {offer.name: offer for offer in OnnxZoo().checkpoints(network(), Query(settings={"exports": True}))}
        assert list(found) == [
            NAME,
            "exports/secret",
            "exports/vit_Opset16_timm/m/other.onnx",
            "exports/vit_Opset16_timm/m/vit_Opset16.onnx",
        ]
        assert isinstance(found["exports/secret"], Skipped)
        offer = found["exports/vit_Opset16_timm/m/vit_Opset16.onnx"]
        assert isinstance(offer, Checkpoint)
        assert [file.path for file in offer.files] == ["m/vit_Opset16.onnx", "m/vit_Opset16.onnx.data"]
        assert {file.etag for file in offer.files} == {sha}
        assert offer.meta.extra == {"opset": 16}
        assert set(hub.counts()) == {"list", "resolve"}
        assert hub.counts()["resolve"] == 1


def test_models_are_synced_and_held_against_the_hash_of_the_manifest(
    server: FileServer, run_sync: Sync, dataset: Path
) -> None:
    kernels = random_array(4, 3, 3, 3)
    data = model([node("Conv", ["x", "w"], "y")], [tensor("w", kernels)]).SerializeToString()
    other = "validated/vision/classification/vgg/model/vgg16-7.onnx"
    server.put(MANIFEST, json.dumps([entry(RESNET, data), entry(other, data + b"?")]).encode())
    for path in (RESNET, other):
        server.put(f"/zoo/{path}", data)
    sources = {"onnx": {"manifest": f"{server.url}{MANIFEST}"}}
    report = run_sync("onnx:vision/classification/*", sources=sources)
    assert list(report.failures) == ["onnx/vision/classification/vgg/model/vgg16-7.onnx"]
    rows = models(dataset)
    assert rows[f"onnx/{NAME}"]["outcome"] == "emitted"
    assert rows["onnx/vision/classification/vgg/model/vgg16-7.onnx"]["outcome"] == "failed"
    (stored,) = layers(dataset).values()
    assert stored.tobytes() == kernels.tobytes()
    asked = len(server.log)
    again = run_sync("onnx:vision/classification/*", sources=sources)
    assert again.checkpoints["unchanged"] == 1
    assert [request.path for request in server.log[asked:]] == [MANIFEST]


def test_a_manifest_in_which_no_entry_has_a_path_is_no_listing(server: FileServer) -> None:
    with pytest.raises(NetworkError, match="no entry has a model_path"):
        offers(server, [{"model": "resnet"}, 3])
