"""The same recipe on the same version of a dataset gives the same bytes; a killed run leaves nothing half-written."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl import load_subset, open_dataset, subset
from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.subset_folders import FOLDER
from filtercrawl.subsets.kin import LINEAGE_TABLES
from filtercrawl.subsets.recipe import read_recipe
from filtercrawl_publish.verification import verify_folder
from support.dataset_rows import tree
from support.synthetic_datasets import EDGES, SMOOTH, net, plant

pytestmark = pytest.mark.usefixtures("forked_children")

# Itself, and not a fork of a server: a fork has the hashes of its parent.
PYTHON = sys.executable
RECIPE = """
name = "everything"
where = "models.num_params > 1 and len(list_filter([1, 2], lambda n: n < taps)) = 2"
seed = 3

[kernels]
finite = true
dead_below = 0.2
min_norm = 0.4
max_norm = 6

[deduplicate]
layers = true
kernels = "scale_and_sign"
within = "model"

[caps]
models_per_family = 7
layers_per_model = 3
kernels_per_layer = 100
kernels_per_model = 150

[splits]
train = 0.5
test = 0.5
"""
MAKE = """
import sys
import pyarrow as pa
from filtercrawl import subset
from filtercrawl.subsets import condition, kernel_duplicates

dataset, recipe, out, threads = sys.argv[1:]
pa.set_cpu_count(int(threads))
pa.set_io_thread_count(int(threads))
for config in (condition._CONFIG, kernel_duplicates._CONFIG):
    config["threads"] = int(threads)
subset(recipe, dataset, out=out, progress=False)
"""
# Kills the process before it renames a file or folder for the n-th time.
KILL = """
import os, signal, sys
from filtercrawl import subset

dataset, recipe, n = sys.argv[1:]
left = int(n)

def count(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
subset(recipe, dataset, progress=False)
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nets = [
        net(f"net{n}", SMOOTH if n % 2 else EDGES, seed=n // 2 * 2, layers=4, family=f"f{n % 2}") for n in range(20)
    ]
    return plant(tmp_path_factory.mktemp("planted"), nets)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE, "utf-8")
    return path


def with_lineage(dataset: Path, target: Path, *, backwards: bool) -> Path:
    """Copy a dataset, with a table of lineage, and with the rows of all tables the other way round."""
    shutil.copytree(dataset, target)
    pairs = {"child": ["acme/net3", "acme/net5"], "parent": ["acme/net1", "acme/net3"]}
    first = next(iter(LINEAGE_TABLES))
    (target / first).parent.mkdir(parents=True)
    pq.write_table(pa.table(pairs), target / first)
    if backwards:
        for path in (target / first, *(target / f"data/{name}/part.parquet" for name in ("index", "models"))):
            table = pq.read_table(path)
            pq.write_table(table.take(list(range(len(table)))[::-1]), path, row_group_size=7)
    return target


def test_bytes_do_not_depend_on_threads_order_or_process(planted: Path, recipe: Path, tmp_path: Path) -> None:
    made = []
    for number, (threads, backwards) in enumerate(itertools.product((1, 4), (False, True))):
        dataset = with_lineage(planted, tmp_path / f"dataset{number}", backwards=backwards)
        out = tmp_path / f"out{number}"
        environment = {**os.environ, "PYTHONHASHSEED": str(number)}
        command = [PYTHON, "-c", MAKE, str(dataset), str(recipe), str(out), str(threads)]
        subprocess.run(command, check=True, env=environment)
        made.append(tree(out))
    assert {"train.parquet", "test.parquet", "excluded.parquet", "subset.json", "README.md"} == made[0].keys()
    assert all(other == made[0] for other in made)
    found = load_subset(planted, tmp_path / "out0")
    rows = found.layers.to_pylist()
    assert {row["kin"] for row in rows if row["model_id"] in ("acme/net3", "acme/net5")} == {"acme/net1"}
    assert 0 < found.n_kernels < sum(row["n_kernels"] for row in rows)


def test_a_table_of_lineage_without_its_columns_is_named(planted: Path, recipe: Path, tmp_path: Path) -> None:
    dataset = with_lineage(planted, tmp_path / "dataset", backwards=False)
    pq.write_table(pa.table({"child": ["acme/net3"]}), dataset / next(iter(LINEAGE_TABLES)))
    with pytest.raises(
        DatasetError, match=r"lineage\.parquet lacks the column parent; run `filtercrawl analyze` again"
    ):
        subset(recipe, dataset, dry_run=True, progress=False)


@pytest.mark.exhaustive
def test_a_killed_run_leaves_nothing_half_written(planted: Path, recipe: Path, tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(planted, tmp_path / "dataset"))
    before = open_dataset(dataset).configs
    name = read_recipe(recipe).folder_name
    for n in itertools.count(1):
        done = subprocess.run([sys.executable, "-c", KILL, str(dataset), str(recipe), str(n)], check=False)
        visible = [path.name for path in (dataset / FOLDER).glob("*") if not path.name.startswith(".")]
        assert visible in ([], [name])
        if visible:
            assert load_subset(dataset, dataset / FOLDER / name).n_kernels
        if not done.returncode:
            break
        if "subset-everything" not in open_dataset(dataset).configs:
            assert open_dataset(dataset).configs == before
    assert n > 5
    assert [path.name for path in (dataset / FOLDER).iterdir()] == [name]
    assert list(verify_folder(dataset)) == []


def test_a_subset_is_replaced_as_a_whole(planted: Path, recipe: Path, tmp_path: Path) -> None:
    """Where the dataset has changed, the same recipe makes the folder of that name anew."""
    dataset = Path(shutil.copytree(planted, tmp_path / "dataset"))
    out = tmp_path / "out"
    assert subset(recipe, dataset, out=out, progress=False).changed
    with_kin = with_lineage(planted, tmp_path / "kin", backwards=False)
    report = subset(recipe, with_kin, out=out, progress=False)
    assert report.changed
    assert report.about["kin"]["lineage"]
    assert not subset(recipe, with_kin, out=out, progress=False).changed
    assert sorted(path.name for path in out.parent.iterdir() if path.name.startswith(".")) == []
