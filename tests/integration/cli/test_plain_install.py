"""What an install without extras can do, and what it says of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from filtercrawl.api.extras import EXTRAS
from support.onnx_models import model, node, tensor
from support.plain_install import PlainInstall, plain_install
from support.zoo_files import put, state

# Syncs a safetensors file and an ONNX file, and reads the dataset in every way.
CODE = """
import importlib, json, sys
missing = {missing!r}
for name in missing:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(f"{{name}} is there")
import filtercrawl
from datasets import load_dataset

report = filtercrawl.sync("local:zoo", dataset="kernels")
assert not report.failures, report.failures
print(json.dumps({{
    "emitted": filtercrawl.status("kernels").sources["local"]["emitted"],
    "layers": sorted(filtercrawl.load_layers("kernels")["layer"].to_pylist()),
    "rows": sorted(load_dataset("kernels", "index", split="train")["layer"]),
    "first": filtercrawl.load_layers("kernels", "layer = 'onnx'")["weight"].to_pylist()[0],
}}))
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PlainInstall:
    return plain_install(tmp_path_factory.mktemp("plain") / "packages")


def test_checkpoints_become_a_dataset_that_can_be_read(plain: PlainInstall, tmp_path: Path) -> None:
    put(tmp_path / "zoo/net.safetensors", state())
    weight = np.arange(2 * 3 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 3)
    (tmp_path / "zoo/net.onnx").write_bytes(convolution(weight).SerializeToString())
    missing = [*EXTRAS["analysis"], *EXTRAS["zoos"], "onnx", "pytest", "safetensors", "tables"]
    done = plain.run("-c", CODE.format(missing=missing), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "emitted": 2,
        "layers": ["deep", "onnx", "stem"],
        "rows": ["deep", "mix", "onnx", "stem"],
        "first": weight.ravel().tolist(),
    }
    assert (tmp_path / "kernels/figures/kernels.png").exists()


def convolution(weight: np.ndarray) -> ModelProto:
    return model([node("Conv", ["input", "onnx.weight"], "output")], [tensor("onnx.weight", weight)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sync timm", "timm: the source timm needs timm; pip install 'filtercrawl[zoos]'"),
        ("analyze", "analyze needs matplotlib and scipy; pip install 'filtercrawl[analysis]'"),
        *(
            pytest.param(words, said, marks=pytest.mark.exhaustive)
            for words, said in [
                (
                    "sync torchvision",
                    "torchvision: the source torchvision needs torchvision; pip install 'filtercrawl[zoos]'",
                ),
                (
                    "inspect timm:resnet18 --structure",
                    "timm:resnet18: the source timm needs timm; pip install 'filtercrawl[zoos]'",
                ),
                ("compare a.pth b.pth", "compare needs scipy; pip install 'filtercrawl[analysis]'"),
                ("release ./to local:.", "release needs matplotlib and scipy; pip install 'filtercrawl[analysis]'"),
                ("sync local:. --engine ray", "--engine ray needs ray; pip install 'filtercrawl[ray]'"),
                (
                    "sync local:. --dataset s3://b/c",
                    "s3://b/c: the library for s3:// is not installed; pip install 'filtercrawl[s3]'",
                ),
            ]
        ),
    ],
)
def test_what_needs_an_extra_says_in_one_line_which(plain: PlainInstall, words: str, said: str, tmp_path: Path) -> None:
    done = plain.run("-m", "filtercrawl", *words.split(), folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {said}\n")


@pytest.mark.exhaustive
def test_a_network_of_a_zoo_that_is_not_installed_fails_until_it_is(plain: PlainInstall, tmp_path: Path) -> None:
    put(tmp_path / "net.pth", state())
    done = plain.run("-m", "filtercrawl", "sync", "local:net.pth arch=timm/resnet18", folder=tmp_path)
    reason = "the architecture 'timm/resnet18' needs timm; pip install 'filtercrawl[zoos]'"
    assert done.returncode == 3
    assert f"failed: local/net.pth: {reason}\n" in done.stdout


@pytest.mark.exhaustive
def test_sources_says_what_to_install(plain: PlainInstall, tmp_path: Path) -> None:
    said = plain.run("-m", "filtercrawl", "sources", "--json", folder=tmp_path).stdout
    missing = {row["name"]: row["unavailable"] for row in json.loads(said)["sources"] if row["unavailable"]}
    assert missing == {name: f"needs {name}; pip install 'filtercrawl[zoos]'" for name in ("timm", "torchvision")}
