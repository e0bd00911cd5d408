"""Damage in the bytes of an entry or beside them is found when the tensor is read that it belongs to."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.errors import FormatError, TruncatedError
from filtercrawl.api.reader import Reader
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl_plugins.readers.npz import NpzReader
from support.recording_file import WantedFile
from support.stored_networks import FORMATS, arrays, network, structure
from support.torch_files import READERS, bits, claimed, numbers, saved


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_flipped_byte_of_a_stored_entry_is_found(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["torch-zip", "npz"]))
    reader, write = FORMATS[name]
    whole = bytearray(write(network(2)))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        entry = data.draw(st.sampled_from([i for i in archive.infolist() if "/data/" in i.filename or name == "npz"]))
    names, extras = struct.unpack_from("<2H", whole, entry.header_offset + 26)
    # What an array says of its own shape is held against the table first.
    start = 128 if name == "npz" else 0
    place = data.draw(st.integers(start, entry.file_size - 1))
    whole[entry.header_offset + 30 + names + extras + place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FormatError, match="'" + entry.filename + r"' is damaged \(CRC-32\); fetch it again"):
        read_all(reader, bytes(whole))


def read_all(reader: Reader, data: bytes) -> None:
    for tensor in structure(reader, WantedFile(data)).values():
        numbers(tensor)


def test_a_flipped_byte_of_the_pickle_or_of_a_deflated_entry_is_found() -> None:
    pickled = saved({"weight": torch.ones(2, 2, 3, 3)}).replace(b"weight", b"height", 1)
    with pytest.raises(FormatError, match=r"data.pkl' is damaged \(CRC-32\)"):
        structure(READERS["torch-zip"], WantedFile(pickled))
    deflated = bytearray(arrays({"w": torch.ones(2, 2, 3, 3)}, np.savez_compressed))
    table = deflated.index(b"PK\1\2")
    deflated[table + 16] ^= 1
    with pytest.raises(FormatError, match=r"w.npy' is damaged \(CRC-32\)"):
        structure(NpzReader(), WantedFile(bytes(deflated)))


def test_damage_is_found_once_and_for_all_by_pieces_in_order() -> None:
    """Memory stays small: numbers are read in pieces, and the last one is refused, whenever it is asked for."""
    data = bytearray(saved({"w": torch.zeros(1024, 1024)}))
    data[len(data) // 2] ^= 1
    file = WantedFile(bytes(data))
    extent = structure(READERS["torch-zip"], file)["w"].location
    assert extent is not None
    file.forget()
    for _ in range(2):
        with pytest.raises(FormatError, match="CRC-32"):
            extent.read(((0, 1024), (0, 1024)))
    assert max(stop - start for start, stop in file.reads) <= 1 << 20
    part = extent_of_w(bytes(data)).read(((0, 1), (0, 1024)))
    assert not part.any()


def extent_of_w(data: bytes) -> TensorLocation:
    extent = structure(READERS["torch-zip"], WantedFile(data))["w"].location
    assert extent is not None
    return extent


def test_an_archive_without_checksums_is_read() -> None:
    state = network(2)
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        data = saved(state)
    finally:
        torch.serialization.set_crc32_options(before)
    assert data != saved(state)
    for key, tensor in structure(READERS["torch-zip"], WantedFile(data)).items():
        assert numbers(tensor) == bits(state[key])


def test_storages_that_were_written_later_are_read() -> None:
    """`skip_data` leaves room for storages, whose checksums nobody knows then; those of the rest are real."""
    weight = torch.randn(4, 2, 3, 3)
    with torch.serialization.skip_data():
        data = bytearray(saved({"w": weight}))
    extent = extent_of_w(bytes(data))
    file = extent.file
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = archive.getinfo("archive/data/0")
    names, extras = struct.unpack_from("<2H", data, entry.header_offset + 26)
    start = entry.header_offset + 30 + names + extras
    data[start : start + file.size] = bits(weight)
    assert extent_of_w(bytes(data)).read(((0, 4), (0, 2), (0, 3), (0, 3))).tobytes() == bits(weight)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_lie_beside_the_numbers_is_found_with_them(*, zipped: bool) -> None:
    """A local header or a count that contradicts the rest fails the tensor it belongs to, and no other."""
    state = {"a": torch.ones(20), "b": torch.full((30,), 2.0)}
    data = bytearray(saved(state, zipped=zipped))
    if zipped:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data[archive.getinfo("archive/data/1").header_offset] ^= 1
    else:
        data[data.index(bits(state["b"])) - 8] ^= 1
    (reader,) = claimed(bytes(data))
    tensors = structure(READERS[reader], WantedFile(bytes(data)))
    assert numbers(tensors["a"]) == bits(state["a"])
    with pytest.raises(FormatError, match="'archive/data/1' is not where" if zipped else "has 31 numbers.* say 30"):
        numbers(tensors["b"])


def test_a_legacy_file_that_ends_early_is_refused_at_once() -> None:
    data = saved(network(2), zipped=False)
    for cut in (1, 8, 9, 40, 2000):
        with pytest.raises(TruncatedError):
            structure(READERS["torch-legacy"], WantedFile(data[:-cut]))
