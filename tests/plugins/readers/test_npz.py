"""NumPy archives give every array, bit for bit, and never unpickle one."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conftest import Sync
from filtercrawl.api.errors import CheckpointError, UnsafeFileError
from filtercrawl.api.range_file import MemoryFile, prefetch
from filtercrawl_plugins.readers.npz import NpzReader
from support.recording_file import WantedFile
from support.torch_files import OneFile
from support.zoo_files import layers, models, table

NUMBERS = st.sampled_from(["<f8", "<f4", "<f2", "<i8", "|u1", "|b1", "<c8", ">f8", ">f4", ">f2", ">i8", ">c8", ">c16"])

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, max_side=3, min_side=0)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text("abc/._", min_size=1, max_size=6).filter(lambda name: name != "file"),
        NUMBERS.flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, max_side=3, min_side=0))
        ),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
    st.booleans(),
)
def test_arrays_are_bit_equal(arrays: dict[str, np.ndarray], packed: bool, fortran: bool) -> None:
    arrays = {name: np.asfortranarray(array) if fortran else array for name, array in arrays.items()}
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, **arrays)
    file = MemoryFile(buffer.getvalue())
    assert NpzReader().can_read(file)
    found = {tensor.name: tensor for tensor in NpzReader().tensors(OneFile(file))}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        extent = found[name].location
        assert extent is not None
        assert found[name].shape == array.shape
        raw = extent.read(tuple((0, size) for size in array.shape))
        assert raw.tobytes() == np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def test_a_part_of_big_endian_numbers_is_read_alone() -> None:
    array = np.random.default_rng(0).standard_normal((16, 8, 3, 3)).astype(">f4")
    buffer = io.BytesIO()
    np.savez(buffer, **{"conv.weight": array})
    file = WantedFile(buffer.getvalue())
    (tensor,) = NpzReader().tensors(OneFile(file))
    assert tensor.location is not None
    file.forget()
    prefetch([tensor.location.byte_span])
    part = tensor.location.read(((2, 4), (1, 3), (0, 3), (0, 3)))
    assert part.tobytes() == array[2:4, 1:3].astype("<f4").tobytes()
    assert sum(stop - start for start, stop in file.reads) < array.nbytes / 4


def test_sync_reads_archives_and_unpickles_nothing(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype("f4")
    np.savez(
        zoo / "net.npz", **{"conv/weight": weight, "labels": np.array(["a"]), "objects": np.array([{}], dtype=object)}
    )
    prices = np.zeros(3, dtype=[("date", "<M8[D]"), ("open", "<f8")])
    np.savez(zoo / "prices.npz", prices=prices, days=prices["date"])
    run_sync()
    assert np.array_equal(layers(dataset)["local/net.npz#conv/weight"], weight)
    assert models(dataset)["local/net.npz"]["format"] == "npz"
    assert models(dataset)["local/prices.npz"]["outcome"] == "no_kernels"
    reasons = {row["tensor"]: row["reason"] for row in table(dataset, "ledger")}
    assert reasons == {
        "conv/weight": None, "labels": "unreadable", "objects": "unreadable", "prices": "other", "days": "other"
    }  # fmt: skip


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9)}", b"__import__('os').system('true')", b"(" * 9000,
     b"{}", b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
     b"{'descr': '<f4', 'fortran_order': 0, 'shape': ()}"],
)  # fmt: skip
def test_lying_headers_are_refused(header: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        list(NpzReader().tensors(archive_of(header, 1)))
    assert "\n" not in str(caught.value)


def test_headers_that_are_long_are_charged_by_their_length() -> None:
    header = rb"{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'more': ('\d', %s)}" % (b"1," * 4_900)
    (array,) = NpzReader().tensors(archive_of(header, 1))
    assert array.shape == (4,)
    with pytest.raises(UnsafeFileError, match="steps of parsing"):
        list(NpzReader().tensors(archive_of(header, 300)))


def archive_of(header: bytes, n_arrays: int) -> OneFile:
    """An archive of arrays with this header and 16 bytes of elements."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(n_arrays):
            array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(16)
            archive.writestr(f"w{number}.npy", array)
    return OneFile(MemoryFile(buffer.getvalue()))


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"PK\5\6" + bytes(18), b"\x93NUMPY" + bytes(90)])
def test_other_files_are_not_claimed(data: bytes) -> None:
    assert not NpzReader().can_read(MemoryFile(data))
