"""Far files are told what will be read: no tensor costs a read before its numbers, and no number comes unannounced."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.range_file import Span, prefetch
from filtercrawl_plugins.readers.npz import NpzReader
from support.recording_file import WantedFile, want_all
from support.stored_networks import FORMATS, network, structure
from support.torch_files import READERS, OneFile, bits, numbers, saved


@pytest.mark.parametrize("name", FORMATS)
def test_no_tensor_costs_a_read_of_its_own(name: str) -> None:
    reader, write = FORMATS[name]
    cost = []
    for depth in (2, 40):
        file = WantedFile(write(network(depth)))
        assert len(structure(reader, file)) == 6 * depth
        cost.append(len(file.unwanted))
        assert len(file.reads) == len(file.unwanted) or name.startswith("npz")
    assert cost[0] == cost[1] <= 20


@pytest.mark.parametrize("name", FORMATS)
def test_every_number_is_wanted_before_it_is_read(name: str) -> None:
    reader, write = FORMATS[name]
    state = network(20)
    file = WantedFile(write(state))
    tensors = structure(reader, file)
    file.forget()
    want_all(tensors.values())
    assert file.reads == []
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert sum(stop - start for start, stop in file.wanted) <= size + 300 * len(state)
    for key, tensor in state.items():
        assert numbers(tensors[key]) == bits(tensor)
    assert file.unwanted == []
    taken = sum(stop - start for start, stop in file.reads)
    assert taken <= size + 40 * len(state)
    want_all(tensors.values())
    assert all(start >= 30 for start, _ in file.wanted)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_one_part_of_a_tensor_is_wanted_tightly(data: st.DataObject) -> None:
    """Local headers may hold up to 64 KiB more than the table says, and gaps of any size may follow."""
    name = data.draw(st.sampled_from(["torch-zip", "torch-legacy"]))
    state = {"a.weight": torch.randn(64, 16, 3, 3), "b.weight": torch.randn(2, 2, 3, 3)}
    file_bytes = saved(state, zipped=name == "torch-zip")
    extra = data.draw(st.integers(0, 300) | st.just(0xFFFF)) if name == "torch-zip" else 0
    gap = data.draw(st.integers(0, 300) | st.just(1 << 20)) if name == "torch-zip" else 0
    if name == "torch-zip":
        file_bytes = laid_out(file_bytes, extra, gap)
    file = WantedFile(file_bytes)
    extent = structure(READERS[name], file)["a.weight"].location
    assert extent is not None
    file.forget()
    start = data.draw(st.integers(0, 63))
    stop = data.draw(st.integers(start + 1, 64))
    row = 4 * 16 * 9
    prefetch([Span(extent.file, extent.offset + start * row, extent.offset + stop * row)])
    got = extent.read(((start, stop), (0, 16), (0, 3), (0, 3)))
    assert got.tobytes() == bits(state["a.weight"][start:stop])
    assert file.unwanted == []
    slack = sum(stop - start for start, stop in file.wanted) - (stop - start) * row
    assert slack <= min(0xFFFF, extra + gap) + 200


def laid_out(data: bytes, extra: int, gap: int) -> bytes:
    """Write an archive anew, with so many bytes more in each local header, and behind each entry."""
    out, table = b"", b""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            held, raw = archive.read(name), name.encode()
            crc, size = zlib.crc32(held), len(held)
            table += struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, crc, size, size, len(raw), *[0] * 5,
                                 len(out)) + raw  # fmt: skip
            local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, crc, size, size, len(raw), extra)
            out += local + raw + bytes(extra) + held + bytes(gap)
        count = len(archive.namelist())
    return out + table + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(table), len(out), 0)


def test_a_long_header_of_an_array_is_read_on() -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 3, 3), }" + b" " * 900 + b"\n"
    values = np.arange(18, dtype="<f4").tobytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + values)
    (tensor,) = NpzReader().tensors(OneFile(WantedFile(buffer.getvalue())))
    assert numbers(tensor) == values
