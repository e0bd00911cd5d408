"""The bundled plugins keep the promises that anybody's must keep, as far as they apply to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.convolution import Convolution
from filtercrawl.testing import CHECKS, ExpectedTensor, FakeZoo, FileServer, ReaderSample, check
from support.hub.server import Fault, HubServer

pytestmark = pytest.mark.usefixtures("forked_children")

EVERY = {one.name for one in CHECKS}
LISTING = {one.name for one in CHECKS if not one.changing}


class FolderZoo(FakeZoo):
    """A folder on this machine: there is no server to break, and no address to sign."""

    folder: Path

    def __init__(self, server: FileServer) -> None:
        super().__init__(server)
        self.pattern = str(self.folder)

    def serve(self) -> None:
        for path in self.folder.glob("*.safetensors"):
            if path.stem not in self.weights:
                path.unlink()
        for name, data in self.weights.items():
            path = self.folder / f"{name}.safetensors"
            if not path.is_file() or path.read_bytes() != data:
                path.write_bytes(data)

    def offered_as(self, name: str) -> str:
        return f"{name}.safetensors"


def test_local(zoo: Path) -> None:
    made = type("Zoo", (FolderZoo,), {"folder": zoo})
    verdict = check("filtercrawl_plugins.sources.local.source", conformance=made)
    assert verdict.findings == ()
    assert set(verdict.passed) == EVERY


class OnnxZoo(FakeZoo):
    """The manifest of the ONNX zoo. Content decides the reader, so that what it names may be in any format."""

    @property
    def settings(self) -> Mapping[str, str]:
        return {"manifest": f"{self.server.url}/ONNX_HUB_MANIFEST.json"}

    def serve(self) -> None:
        facts = {"tags": ["vision"], "io_ports": {"inputs": [], "outputs": []}}
        self.server.json(
            "/ONNX_HUB_MANIFEST.json",
            [
                {
                    "model": name, "model_path": f"files/{name}", "onnx_version": "1.2", "opset_version": 7,
                    "metadata": facts | {"model_sha": self.sha256(name), "model_bytes": len(data)},
                }
                for name, data in self.weights.items()
            ],
        )  # fmt: skip

    def offered_as(self, name: str) -> str:
        return f"files/{name}"


def test_onnx_zoo() -> None:
    verdict = check("filtercrawl_plugins.sources.onnx_zoo.source", conformance=OnnxZoo)
    assert verdict.findings == ()
    assert set(verdict.passed) == EVERY


class HubZoo(FakeZoo):
    """Repos of one organisation on the stand-in of the Hub, a checkpoint each."""

    hub: HubServer
    pattern = "org/*"

    def __init__(self, server: FileServer) -> None:
        super().__init__(server)
        self.hub.repos.clear()
        self._served: dict[str, bytes] = {}

    def serve(self) -> None:
        for name in self._served.keys() - self.weights.keys():
            self.hub.delete(f"org/{name}")
        for name, data in self.weights.items():
            if name not in self._served:
                self.hub.create(
                    f"org/{name}", {"model.safetensors": data}, card={"license": "mit"}, library_name="timm"
                )
            elif self._served[name] != data:
                self.hub.commit(f"org/{name}", {"model.safetensors": data})
        self._served = dict(self.weights)

    def offered_as(self, name: str) -> str:
        return f"org/{name}/model.safetensors"

    def break_listing(self, after: int, status: int) -> None:
        self.hub.fail("/api/*", *[Fault()] * after, *[Fault(status=status)] * 40)

    def restore_listing(self) -> None:
        self.hub._faults.clear()

    def requests(self) -> tuple[int, int]:
        files = sum(asked.kind in ("resolve", "lfs") and "safetensors" in asked.path for asked in self.hub.log)
        return len(self.hub.log) - files, files


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_hub(hub: HubServer) -> None:
    made = type("Zoo", (HubZoo,), {"hub": hub})
    verdict = check("filtercrawl_plugins.sources.hub", conformance=made)
    assert verdict.findings == ()
    assert set(verdict.passed) == EVERY | {"build"}


@pytest.mark.parametrize(("module", "pattern"), [("packages.source", None), ("torchvision", "resnet18")])
def test_what_is_installed(module: str, pattern: str | None) -> None:
    verdict = check(f"filtercrawl_plugins.sources.{module}", listing_only=True, pattern=pattern)
    assert verdict.findings == ()
    assert set(verdict.passed) == LISTING | ({"build"} if module == "torchvision" else set())


def test_timm(hub: HubServer) -> None:
    hub.create("timm/resnet18.a1_in1k", {"model.safetensors": b"x"}, card={"license": "apache-2.0"})
    verdict = check("filtercrawl_plugins.sources.timm.source", listing_only=True, pattern="resnet18.a1_in1k")
    assert verdict.findings == ()
    assert set(verdict.passed) == LISTING | {"build"}


def samples(name: str) -> ReaderSample:
    """A file of each format, written by its own library, and what it holds."""
    import io

    import numpy as np
    import torch
    from safetensors.numpy import save

    from support.onnx_models import model, node, random_array, tensor

    arrays = {"deep.weight": random_array(64, 64, 3, 3), "deep.bias": random_array(64)}
    expected = {key: ExpectedTensor(values=array) for key, array in arrays.items()}
    made: Any = io.BytesIO()
    match name:
        case "safetensors":
            made.write(save(arrays))
        case "npz":
            np.savez(made, **arrays)
        case "torch":
            torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, made)
        case "onnx":
            weight = tensor("deep.weight", arrays["deep.weight"])
            made.write(model([node("Conv", ["x", "deep.weight"], "y")], [weight]).SerializeToString())
            facts = Convolution(
                op="conv2d", groups=1, stride=(1, 1), padding=(0, 0), dilation=(1, 1), n_calls=1,
                source="onnx_graph",
            )  # fmt: skip
            expected = {"deep.weight": ExpectedTensor(values=arrays["deep.weight"], convolution=facts)}
    return ReaderSample(files={f"net.{name}": bytes(made.getvalue())}, tensors=expected)


@pytest.mark.parametrize("name", ["safetensors", "npz", "torch", "onnx"])
def test_readers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    module = importlib.import_module(f"filtercrawl_plugins.readers.{name}")
    monkeypatch.setattr(module, "samples", lambda: [samples(name)], raising=False)
    verdict = check(module.__name__)
    assert verdict.findings == ()
    assert set(verdict.passed) == {"reader-claims", "reader-tensors", "reader-bytes"}


@pytest.mark.exhaustive
def test_analyses() -> None:
    verdict = check("filtercrawl_analysis.analyses.registry")
    assert verdict.findings == ()
    assert verdict.passed == ("analysis",)
