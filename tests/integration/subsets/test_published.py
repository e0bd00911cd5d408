"""Subsets are published with their dataset, and read from a repository by byte ranges."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from filtercrawl import subset
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.subsets.recipe import parse_recipe
from filtercrawl_publish.verification import verify_folder
from support.hub.server import HubServer
from support.publishers import REPO, publishers, sound
from support.synthetic_datasets import EDGES, net, plant

pytestmark = [pytest.mark.exhaustive, pytest.mark.usefixtures("forked_children")]

RECIPE = "name = 'some'\n[caps]\nkernels_per_layer = 50\n[splits]\ntrain = 0.5\ntest = 0.5\n"
LOAD = f"""
import datasets
datasets.config.USE_PARQUET_EXPORT = False
from filtercrawl import KernelDataset, load_subset

splits = datasets.load_dataset("{REPO}", "subset-some")
for name, rows in splits.items():
    found = load_subset("{REPO}", "some", split=name)
    kernels = sum(len(layer.kernels) for layer in found)
    assert kernels == sum(rows["n_kept"]) == KernelDataset(found, "3x3").n_kernels
print(*sorted(splits))
"""


def test_a_subset_goes_with_its_dataset_until_a_layer_of_it_goes(tmp_path: Path) -> None:
    dataset = plant(tmp_path, [net(f"net{n}", EDGES, seed=n) for n in range(12)])
    made = subset(parse_recipe(RECIPE, ""), dataset, progress=False).folder
    assert made is not None
    files = {f"subsets/{made.name}/{path.name}" for path in made.iterdir()}
    with publishers() as children, HubServer() as hub:
        first = children.publish(dataset, hub)
        assert first is not None
        assert first.get("what") == "published", first
        repo = hub.datasets[REPO]
        assert sound(repo)
        assert files <= repo.head.files.keys()
        environment = {k: v for k, v in os.environ.items() if "OFFLINE" not in k}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
        done = subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, capture_output=True, text=True)
        assert done.stdout.split() == ["test", "train"]

        again = children.publish(dataset, hub)
        assert again is not None
        assert again.get("what") == "nothing", again

        with Catalog(dataset) as catalog, catalog.transaction():
            catalog.drop_content("acme/net3")
        second = children.publish(dataset, hub, version="v2026.11.24")
        assert second is not None
        assert second.get("what") == "published", second
        assert not any(path.startswith("subsets/") for path in repo.head.files)
        assert sound(repo)


def test_what_is_damaged_or_missing_in_a_subset_is_found(tmp_path: Path) -> None:
    dataset = plant(tmp_path, [net(f"net{n}", EDGES, seed=n) for n in range(3)])
    made = subset(parse_recipe("name = 'all'", ""), dataset, progress=False).folder
    assert made is not None
    (made / "train.parquet").write_bytes(b"PAR1")
    assert [issue.where for issue in verify_folder(dataset)] == [f"subsets/{made.name}/train.parquet"]
