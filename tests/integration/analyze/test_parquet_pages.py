"""Weights read page by page against Arrow's reading, bit for bit; layouts that are not ours; damage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.schema.arrow import ROW_NUMBERS
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.data.parquet_pages import find_pages, merge_byte_planes, read_byte_planes
from filtercrawl_analysis.data.parquet_thrift import parse_struct
from support.synthetic_datasets import Net, plant


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers in one page, in a page each, and in parts; with NaN, infinities, minus zero and the smallest numbers."""
    generator = torch.Generator().manual_seed(7)
    odd = torch.randn(5, 7, 3, 3, generator=generator)
    odd.view(-1)[:6] = torch.tensor([float("nan"), float("inf"), float("-inf"), -0.0, 1e-45, 3.4e38])
    state = {
        "odd.weight": odd,
        "wide.weight": torch.randn(3, ROW_NUMBERS // 2 // 9, 3, 3, generator=generator),
        "large.weight": torch.randn(2, 3, 11, 11, generator=generator),
        "line.weight": torch.randn(4, 4, 5, generator=generator),
        **{f"small{i}.weight": torch.randn(64, 64, 3, 3, generator=generator) for i in range(24)},
    }
    return plant(tmp_path_factory.mktemp("pages"), [Net(name="net", state=state)])


def file_of(dataset: Path) -> Path:
    (path,) = (dataset / "data/layers").rglob("*.parquet")
    return path


def first_page(path: Path) -> int:
    """Return where the first page of weights begins."""
    with pq.ParquetFile(path) as file:
        return int(file.metadata.row_group(0).column(file.metadata.num_columns - 1).data_page_offset)


def read(dataset: Path) -> dict[str, np.ndarray]:
    view = FolderDatasetView(dataset)
    found: dict[str, list[np.ndarray]] = {}
    for digest, part in view.kernels(view.index["layer_sha256"].to_pylist()):
        found.setdefault(digest, []).append(part.copy())
    return {digest: np.concatenate(parts).view(np.uint32) for digest, parts in found.items()}


def test_pages_of_every_row_group_hold_the_bytes_that_arrow_reads(planted: Path) -> None:
    with pq.ParquetFile(file_of(planted)) as file, file_of(planted).open("rb") as plain:
        counts = []
        for number in range(file.num_row_groups):
            lists = file.read_row_group(number, columns=["weight"])["weight"].chunk(0)
            found = find_pages(plain, file.metadata.row_group(number), np.asarray(lists.offsets)[1:])
            assert found is not None, "what sync writes is read page by page"
            numbers = np.concatenate([merge_byte_planes(read_byte_planes(plain, page)) for page in found])
            assert np.array_equal(numbers.view(np.uint32), lists.values.to_numpy(zero_copy_only=False).view(np.uint32))
            counts.append(len(found))
        assert max(counts) > 1, "a row group of several pages"
        assert 1 in counts


BY_PLANES = {"compression": "zstd", "use_byte_stream_split": ["weight.list.element"]}


@pytest.mark.parametrize(
    ("layout", "ours"),
    [
        (BY_PLANES | {"compression": "snappy"}, False),
        (BY_PLANES | {"use_byte_stream_split": False}, False),
        (BY_PLANES | {"use_byte_stream_split": False, "use_dictionary": True}, False),
        (BY_PLANES | {"data_page_version": "2.0"}, False),
        (BY_PLANES | {"write_statistics": False}, False),
        (BY_PLANES | {"data_page_size": 1000}, True),
    ],
    ids=["snappy", "plain", "dictionary", "second version", "no statistics", "short pages"],
)
def test_other_layouts_give_the_same_kernels(planted: Path, tmp_path: Path, layout: dict[str, Any], ours: bool) -> None:
    copy = shutil.copytree(planted, tmp_path / "copy")
    table = pq.read_table(file_of(planted))
    pq.write_table(table, file_of(copy), **({"use_dictionary": False} | layout))
    with pq.ParquetFile(file_of(copy)) as file, file_of(copy).open("rb") as plain:
        ends = np.cumsum(table["n_kernels"].to_numpy() * table["taps"].to_numpy())
        assert (find_pages(plain, file.metadata.row_group(0), ends) is not None) is ours
    before, after = read(planted), read(copy)
    assert before.keys() == after.keys()
    for digest, numbers in before.items():
        assert np.array_equal(numbers, after[digest])


def test_rows_of_other_lengths_than_pages_are_left_to_arrow(planted: Path) -> None:
    with pq.ParquetFile(file_of(planted)) as file, file_of(planted).open("rb") as plain:
        group = file.metadata.row_group(0)
        facts = file.read_row_group(0, columns=["n_kernels", "taps"])
        ends = np.cumsum(facts["n_kernels"].to_numpy() * facts["taps"].to_numpy())
        assert find_pages(plain, group, ends) is not None
        assert find_pages(plain, group, ends + 9) is None
        assert find_pages(plain, group, np.r_[ends, ends[-1] + 9]) is None


def test_damaged_pages_are_an_error_that_names_the_file(planted: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(planted, tmp_path / "copy")
    path = file_of(copy)
    page = first_page(path)
    damaged = bytearray(path.read_bytes())
    # Behind the header of the first page: where the zstd frame begins.
    start = damaged.index(b"\x28\xb5\x2f\xfd", page)
    damaged[start : start + 4] = b"\0\0\0\0"
    path.write_bytes(damaged)
    with pytest.raises(DatasetError, match=path.name):
        read(copy)


def test_a_header_that_claims_too_much_takes_no_memory(planted: Path, tmp_path: Path) -> None:
    """A page that claims more numbers than the rows have is not ours; Arrow refuses it too."""
    copy = shutil.copytree(planted, tmp_path / "copy")
    path = file_of(copy)
    page = first_page(path)
    damaged = bytearray(path.read_bytes())
    header, _ = parse_struct(bytes(damaged[page : page + 1024]))
    size = header[2]
    at = damaged.index(varint(size), page)
    damaged[at : at + len(varint(size))] = varint((1 << 7 * len(varint(size)) - 1) - 1)
    path.write_bytes(damaged)
    with pytest.raises(DatasetError, match=path.name):
        read(copy)


def varint(number: int) -> bytes:
    number *= 2  # zigzag
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def test_a_struct_is_read_by_the_rules_of_the_compact_protocol() -> None:
    # 1: i32 -3, 3: true, 4: binary "ab", 5: {1: i64 300}, and 100 by its number in full; then what follows the struct.
    data = bytes([0x15, 5, 0x21, 0x18, 2, 97, 98, 0x1C, 0x16, 0xD8, 0x04, 0, 0x05, 0xC8, 0x01, 2, 0]) + b"rest"
    assert parse_struct(data) == ({1: -3, 3: True, 4: b"ab", 5: {1: 300}, 100: 1}, len(data) - 4)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_struct_or_refused(data: bytes) -> None:
    try:
        found, length = parse_struct(data)
    except ValueError:
        return
    assert 0 < length <= len(data)
    assert len(found) <= length


def test_structs_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="nested deeper"):
        parse_struct(b"\x1c" * 5000)
    with pytest.raises(ValueError, match="ends within"):
        parse_struct(b"\x18\x7fab")


def test_bytes_are_put_together_as_numpy_reads_them() -> None:
    numbers = np.random.default_rng(3).integers(0, 2**32, 5000, np.uint32)
    split = np.ascontiguousarray(numbers.view(np.uint8).reshape(-1, 4).T)
    assert np.array_equal(merge_byte_planes(split).view(np.uint32), numbers)
    assert np.array_equal(merge_byte_planes(numbers.view(np.uint8).reshape(-1, 4).T).view(np.uint32), numbers)
    assert pa.array(merge_byte_planes(split)).type == pa.float32()
