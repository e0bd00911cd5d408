"""Which files of a version are loaded before it gets its tag."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.load_sample import LoadSample, restrict_header

HEADER: dict[str, Any] = {
    "configs": [
        {"config_name": "index", "data_files": [{"split": "train", "path": ["data/index/*.parquet"]}]},
        {"config_name": "layers", "data_files": [{"split": "train", "path": ["data/layers/*/*/*.parquet"]}]},
        {"config_name": "layers-b", "data_files": [{"split": "train", "path": "data/layers/b/*/*.parquet"}]},
        {"config_name": "free", "data_files": [{"split": "train", "path": ["data/layers/a/00/x0.parquet"]}]},
    ]
}


B: dict[str, Any] = {"split": "train", "path": ["data/layers/b/*/*.parquet"]}


def file(path: str, size: int = 10) -> File:
    return File(path=path, size=size, sha256=path.encode().hex()[-64:].rjust(64, "0"))


def layers(source: str, number: int, size: int = 10) -> list[File]:
    return [file(f"data/layers/{source}/00/x{i}.parquet", size) for i in range(number)]


TABLES = [file("data/index/part-0.parquet"), file("data/index/part-1.parquet"), file("data/models.parquet")]


def chosen(files: list[File], known: set[str] | None, seed: str = "v1") -> dict[str, set[str]]:
    sample = LoadSample(files=tuple(files), known=known, seed=seed)
    return {config.name: {f.path for f in config.files} for config in sample.configs(HEADER, files, "here")}


def test_everything_by_default() -> None:
    files = [*TABLES, *layers("a", 50), *layers("b", 50)]
    found = chosen(files, None)
    assert found["index"] == {"data/index/part-0.parquet", "data/index/part-1.parquet"}
    assert found["layers"] == {f.path for f in files if "layers" in f.path}
    assert found["layers-b"] == {f.path for f in layers("b", 50)}
    assert found["free"] == {"data/layers/a/00/x0.parquet"}


def test_what_is_new_and_eight_others_however_many_there_are() -> None:
    files = [*TABLES, *layers("a", 5000), *layers("b", 5000)]
    new = {"data/index/part-1.parquet", "data/layers/b/00/x7.parquet"}
    found = chosen(files, {f.path for f in files} - new)
    assert new <= {path for paths in found.values() for path in paths}
    assert "data/layers/b/00/x7.parquet" in found["layers-b"] <= found["layers"]
    assert len({path for paths in found.values() for path in paths}) <= len(new) + 8 + len(found)
    assert all(found.values())


def test_many_new_files_are_sampled_too() -> None:
    files = [*TABLES, *layers("a", 5000)]
    header = {"configs": [config for config in HEADER["configs"] if config["config_name"] != "layers-b"]}
    sample = LoadSample(files=tuple(files), known=frozenset(), seed="v1")
    found = {config.name: config for config in sample.configs(header, files, "here")}
    assert len(found["layers"].files) <= 33  # and the one of `free`
    assert not found["layers"].whole
    assert found["index"].whole


def test_the_version_decides_and_nothing_else() -> None:
    files = [*TABLES, *layers("a", 500), *layers("b", 500)]
    known = {f.path for f in files}
    assert chosen(files, known, "v1") == chosen(files[::-1], known, "v1")
    assert chosen(files, known, "v1") != chosen(files, known, "v2")


def test_a_config_without_a_file_and_one_without_a_local_copy() -> None:
    with pytest.raises(DatasetError, match="here: the config layers-b has no file"):
        chosen([*TABLES, *layers("a", 1)], None)
    files = [*TABLES, *layers("a", 3), *layers("b", 3)]
    sample = LoadSample(files=tuple(f for f in files if "/b/" not in f.path), known=None)
    assert [config.name for config in sample.configs(HEADER, files, "here")] == ["index", "layers", "free"]


def test_a_listed_file_that_the_version_lacks() -> None:
    with pytest.raises(
        DatasetError, match=r"here: the config free names data/layers/a/00/x0\.parquet, which is missing"
    ):
        chosen([*TABLES, *layers("a", 3)[1:], *layers("b", 3)], None)


def test_a_header_without_listed_files_that_were_not_chosen() -> None:
    assert restrict_header(HEADER, {("free", "train"): {"data/layers/a/00/x0.parquet"}}) == {
        "configs": [*HEADER["configs"][:2], {**HEADER["configs"][2], "data_files": [B]}, HEADER["configs"][3]]
    }
    assert [config["config_name"] for config in restrict_header(HEADER, {})["configs"]] == [
        *("index", "layers", "layers-b"),
    ]


def test_large_files_are_left_out_where_there_are_others() -> None:
    files = [*TABLES, *layers("a", 3, size=200 * 10**6), *layers("b", 1)]
    found = chosen(files, set())
    assert len(found["layers"] - {"data/layers/a/00/x0.parquet"}) <= 2
    files = [*TABLES, *layers("a", 1, size=10**12), *layers("b", 1, size=10**9)]
    assert chosen(files, set())["layers-b"] == {"data/layers/b/00/x0.parquet"}


PATHS = ("data/a/b.parquet", "data/a/c/d.parquet", "data/ab.parquet", "data/a[1].parquet")
PATTERNS = ("data/*.parquet", "data/a/*.parquet", "data/a/b.parquet", "data/a?.parquet", "data/[a]*")


@given(st.lists(st.sampled_from(PATHS), unique=True), st.sampled_from(PATTERNS))
def test_patterns_find_what_fnmatch_finds(paths: list[str], pattern: str) -> None:
    header = {"configs": [{"config_name": "x", "data_files": [{"split": "train", "path": [pattern]}]}]}
    files = [file(path) for path in paths]
    expected = {path for path in paths if fnmatchcase(path, pattern)}
    sample = LoadSample(files=tuple(files), known=None)
    if not expected:
        with pytest.raises(DatasetError):
            sample.configs(header, files, "here")
    else:
        (config,) = sample.configs(header, files, "here")
        assert {f.path for f in config.files} == expected
        assert config.whole
