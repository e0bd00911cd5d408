"""A benchmark set of filtered search, read by the rules of three harnesses and held against a search by brute force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.sparse import csr_matrix
from typer.testing import CliRunner

import filtercrawl
from filtercrawl.api.errors import DatasetError, PolicyError, UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl_publish.export.fanns import BenchmarkOptions, write_benchmark
from support.zoo_files import put

OPTIONS = BenchmarkOptions(size=3000, queries=60, neighbors=20)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints with 5,000 kernels of 3x3, copies and zeros among them, and others."""
    folder = tmp_path_factory.mktemp("fanns")
    torch.manual_seed(0)
    for i, name in enumerate(("a", "b's", "c")):
        first, second = torch.randn(32, 16, 3, 3), torch.randn(64, 16 + i, 3, 3) * 2**i
        second[:5], second[5] = 0, second[6]
        layers = {
            "stem.conv.weight": first,
            "block.1.conv.weight": second,
            "block.1.dw.weight": torch.randn(48, 1, 3, 3),
        }
        put(folder / "zoo" / f"{name}.safetensors", layers | {"head.conv.weight": torch.randn(4, 4, 5, 5)})
    filtercrawl.sync(f"local:{folder / 'zoo'}", dataset=folder / "dataset")
    return folder / "dataset"


@pytest.fixture(scope="module")
def folder(dataset: Path) -> Path:
    write_benchmark(dataset, dataset.parent / "set", OPTIONS)
    return dataset.parent / "set"


def nearest(vectors: np.ndarray, query: np.ndarray, rows: np.ndarray, k: int) -> list[int]:
    """Rows by distance in float64, ties by row."""
    distances = ((vectors[rows].astype("f8") - query.astype("f8")) ** 2).sum(1)
    return [int(row) for row in rows[np.argsort(distances, kind="stable")[:k]]]


# fanns-benchmark: rows of .fvecs and .ivecs begin with their length, which may differ between rows of ivecs.


def read_vecs(path: Path, dtype: str) -> list[np.ndarray]:
    numbers, rows, place = np.fromfile(path, "<i4"), [], 0
    while place < len(numbers):
        count = int(numbers[place])
        assert count > 0
        rows.append(numbers[place + 1 : place + 1 + count].view(dtype))
        place += 1 + count
    return rows


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_fanns_benchmark_reads_it(folder: Path) -> None:
    names = ("database_vectors.fvecs", "query_vectors.fvecs")
    vectors, queries = (np.stack(read_vecs(folder / "fanns" / name, "<f4")) for name in names)
    assert (vectors.shape, queries.shape) == ((3000, 9), (60, 9))
    table = pd.DataFrame(read_jsonl(folder / "fanns/database_attributes.jsonl"))
    assert len(table) == 3000
    assert len(table.columns) >= 11
    masks = {
        "em": lambda asked: table.out_channels == int(asked["label"]),
        "emis": lambda asked: table.path.map(lambda parts: asked["label"] in parts),
        "r": lambda asked: table.log_norm.between(int(asked["range_start"]), int(asked["range_end"])),
    }
    for kind, mask in masks.items():
        asked = read_jsonl(folder / f"fanns/{kind}_query_attributes.jsonl")
        truth = read_vecs(folder / f"fanns/ground_truth_{kind}.ivecs", "<i4")
        assert len(asked) == len(truth) == 60
        for query, one, found in zip(queries, asked, truth, strict=True):
            assert found.tolist() == nearest(vectors, query, np.flatnonzero(mask(one)), 20)
    for query, found in zip(queries, read_vecs(folder / "fanns/ground_truth.ivecs", "<i4"), strict=True):
        assert found.tolist() == nearest(vectors, query, np.arange(3000), 20)


# big-ann-benchmarks, benchmark/dataset_io.py: lengths as uint32; sparse matrices in three int64 and three arrays.


def read_bin(path: Path, dtype: str, arrays: int = 1) -> Iterator[np.ndarray]:
    n, d = map(int, np.fromfile(path, "uint32", count=2))
    assert path.stat().st_size == 8 + 4 * arrays * n * d
    for i in range(arrays):
        yield np.fromfile(path, dtype if i == 0 else "float32", offset=8 + 4 * i * n * d, count=n * d).reshape(n, d)


def read_spmat(path: Path) -> csr_matrix:
    with path.open("rb") as file:
        rows, columns, count = np.fromfile(file, "int64", count=3)
        offsets = np.fromfile(file, "int64", count=rows + 1)
        assert count == offsets[-1]
        places = np.fromfile(file, "int32", count=count)
        assert places.min() >= 0
        assert places.max() < columns
        numbers = np.fromfile(file, "float32", count=count)
        assert not file.read()
    return csr_matrix((numbers, places, offsets), shape=(rows, columns))


def test_the_filter_track_of_big_ann_benchmarks_reads_it(folder: Path) -> None:
    below = folder / "big-ann-benchmarks"
    (vectors,), (queries,) = read_bin(below / "base.fbin", "float32"), read_bin(below / "query.fbin", "float32")
    base, asked = read_spmat(below / "base.metadata.spmat"), read_spmat(below / "query.metadata.spmat")
    assert base.shape == (3000, asked.shape[1])
    words = (below / "words.txt").read_text(encoding="utf-8").splitlines()
    assert len(words) == base.shape[1]
    assert "model = 'local/b''s.safetensors'" in words
    found, distances = read_bin(below / "GT.ibin", "int32", 2)
    with_word = base.T.tocsr()
    sizes = set()
    for i, query in enumerate(queries):
        chosen = asked[i].indices
        rows = np.arange(3000)
        for word in chosen:
            rows = np.intersect1d(rows, with_word[word].indices)
        assert found[i].tolist() == nearest(vectors, query, rows, 20)
        np.testing.assert_allclose(distances[i], ((vectors[found[i]].astype("f8") - query) ** 2).sum(1), rtol=1e-6)
        sizes.add(len(chosen))
    assert sizes == {1, 2}
    unfiltered, _ = read_bin(below / "unfiltered.GT.ibin", "int32", 2)
    assert unfiltered[7].tolist() == nearest(vectors, queries[7], np.arange(3000), 20)


def test_words_mean_what_words_txt_says(folder: Path) -> None:
    import duckdb

    base = read_spmat(folder / "big-ann-benchmarks/base.metadata.spmat").toarray()
    attributes = pq.read_table(folder / "attributes.parquet")
    assert attributes.num_rows == 3000
    for word, sql in enumerate((folder / "big-ann-benchmarks/words.txt").read_text(encoding="utf-8").splitlines()):
        has = duckdb.sql(f"SELECT coalesce({sql}, false) AS has FROM attributes").fetchnumpy()["has"]
        assert np.array_equal(base[:, word], has)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_ann_benchmarks_reads_it(dataset: Path, tmp_path: Path, metric: Any) -> None:
    write_benchmark(dataset, tmp_path / "set", BenchmarkOptions(size=500, queries=10, neighbors=5, metric=metric))
    (path,) = (tmp_path / "set/ann-benchmarks").iterdir()
    with h5py.File(path) as file:
        assert (int(file.attrs["dimension"]), file.attrs["type"], file.attrs["point_type"]) == (9, "dense", "float")
        distance = str(file.attrs["distance"])
        train, test, neighbors, distances = (np.array(file[n]) for n in ("train", "test", "neighbors", "distances"))
    assert path.name == f"kernels3x3-9-{distance}.hdf5"
    assert distance == {"l2": "euclidean", "cosine": "angular"}[metric]
    for query, found, stated in zip(test.astype("f8"), neighbors, distances, strict=True):
        kernels = train.astype("f8")
        if distance == "euclidean":
            every = np.sqrt(((kernels - query) ** 2).sum(1))
        else:
            every = 1 - kernels @ query / (np.linalg.norm(kernels, axis=1) * np.linalg.norm(query))
        np.testing.assert_allclose(stated, every[found], atol=1e-7)
        np.testing.assert_allclose(np.sort(every)[:5], stated, atol=1e-7)


def test_faiss_finds_the_same_under_every_filter(folder: Path) -> None:
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    import duckdb

    table = pq.read_table(folder / "attributes.parquet")
    vectors = np.stack(table["vector"].to_numpy())
    queries = np.stack(pq.read_table(folder / "queries.parquet")["vector"].to_numpy())
    index = faiss.IndexFlatL2(9)
    index.add(vectors)
    numbered = table.append_column("row", pa.array(range(3000)))
    for row in pq.read_table(folder / "ground_truth.parquet").to_pylist():
        rows = duckdb.sql(f"SELECT row FROM numbered WHERE {row['filter']}").fetchnumpy()["row"]
        assert len(rows) == row["matches"]
        parameters = faiss.SearchParameters(sel=faiss.IDSelectorBatch(rows))
        distances, found = index.search(queries[row["query"], None], 20, params=parameters)
        np.testing.assert_allclose(distances[0], row["squared_distances"], rtol=1e-4, atol=1e-4)
        assert len({*found[0].tolist()} & {*row["neighbors"]}) >= 19  # one may change places at the end by rounding
    assert numbered.num_rows == 3000


def test_queries_are_held_out_and_kernels_are_those_of_their_ids(folder: Path, dataset: Path) -> None:
    base, asked = (pq.read_table(folder / f"{name}.parquet") for name in ("attributes", "queries"))
    assert not {*base["kernel_id"].to_pylist()} & {*asked["kernel_id"].to_pylist()}
    every = {tuple(vector) for vector in base["vector"].to_pylist() + asked["vector"].to_pylist()}
    assert len(every) == 3060
    for row in asked.slice(0, 5).to_pylist():
        layer, out, channel = row["kernel_id"].rsplit(":", 2)
        where = "layer_id = '" + layer.replace("'", "''") + "'"
        weights = filtercrawl.to_tensors(filtercrawl.load_layers(dataset, where))
        assert weights[0][int(out), int(channel)].flatten().tolist() == row["vector"]
        assert (row["out_channels"], row["in_channels"]) == tuple(weights[0].shape[:2])
        assert row["norm"] == pytest.approx(float(weights[0][int(out), int(channel)].norm()))


def test_filters_have_several_selectivities(folder: Path) -> None:
    truth = pq.read_table(folder / "ground_truth.parquet").to_pandas()
    assert (truth.matches >= 20).all()
    for kind in ("em", "r", "tags"):
        matches = truth.matches[truth.kind == kind]
        assert matches.max() > 4 * matches.min()


def test_the_same_options_give_the_same_bytes(folder: Path, dataset: Path, tmp_path: Path) -> None:
    before = pa.cpu_count(), torch.get_num_threads()
    try:
        pa.set_cpu_count(1)
        torch.set_num_threads(1)
        write_benchmark(dataset, tmp_path / "again", OPTIONS)
    finally:
        pa.set_cpu_count(before[0])
        torch.set_num_threads(before[1])
    first, second = contents(folder), contents(tmp_path / "again")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_card_says_what_there_is(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "3,000 convolution kernels of 3x3 as vectors of 9 numbers, 60 more" in text
    for name in pq.read_schema(folder / "attributes.parquet").names[:-1]:
        assert f"| `{name}` |" in text


def test_kinds_of_filters_that_are_left_out_are_named(dataset: Path, tmp_path: Path) -> None:
    options = BenchmarkOptions(size=21, queries=5, neighbors=20)
    report = write_benchmark(dataset, tmp_path / "set", options)
    assert report.filters["em"] == 0
    assert "; no filters of em" in str(report)
    assert not (tmp_path / "set/fanns/em_query_attributes.jsonl").exists()
    card = (tmp_path / "set/README.md").read_text(encoding="utf-8")
    assert "| `em` | `out_channels` is equal | 0 | | | |" in card


def test_it_is_written_whole_or_not_at_all(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"different kernels of 3x3 are too few"):
        write_benchmark(dataset, tmp_path / "set", BenchmarkOptions(queries=6000))
    with pytest.raises(UsageError, match="no kernels of 7x7"):
        write_benchmark(dataset, tmp_path / "set", BenchmarkOptions(kernel="7x7"))
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be written"):
        write_benchmark(dataset, tmp_path / "file" / "set", BenchmarkOptions(size=100, queries=5, neighbors=5))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").touch()
    with pytest.raises(PolicyError, match="--force replaces it"):
        write_benchmark(dataset, tmp_path / "set", BenchmarkOptions(size=100, queries=5, neighbors=5))
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["mine.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "set"]


def test_the_command(dataset: Path, plugins: Plugins, tmp_path: Path) -> None:
    words = ["export", "fanns", str(tmp_path / "set"), "--dataset", str(dataset)]
    words += ["--size", "200", "--queries", "7", "-k", "5"]
    answer = CliRunner().invoke(build(plugins), [*words, "--where", "depthwise is not true", "--json"])
    assert answer.exit_code == 0, answer.output
    said = json.loads(answer.stdout)
    assert (said["vectors"], said["queries"], said["dimension"]) == (200, 7, 9)
    again = CliRunner().invoke(build(plugins), [*words, "--force"])
    assert again.exit_code == 0
    assert again.stdout.startswith(f"{tmp_path / 'set'}: 200 vectors of 9 numbers, 7 queries; filters: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]
