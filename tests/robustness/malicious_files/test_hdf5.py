"""What is left of a damaged HDF5 file when its process ends."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import h5py

PROGRAM = """
import sys
from pathlib import Path
from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.readers.keras.datasets import Hdf5Arrays

try:
    Hdf5Arrays(MemoryFile(Path(sys.argv[1]).read_bytes(), "x"))
except CheckpointError as error:
    print(error)
    kept = error
"""
# A file that opens, and of which no more can be read.
PROGRAM_OF_A_CUT_FILE = """
import sys
from pathlib import Path
from filtercrawl.api.errors import CheckpointError, TruncatedError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.readers.keras.datasets import Hdf5Arrays

class Cut(MemoryFile):
    def read(self, offset, length):
        if offset + length > limit:
            raise TruncatedError("x: was cut")
        return super().read(offset, length)

limit = sys.maxsize

def read():
    global limit
    arrays = Hdf5Arrays(Cut(Path(sys.argv[1]).read_bytes(), "x"))
    limit = 0
    list(arrays.arrays())

try:
    read()
except CheckpointError as error:
    print(error)
"""


def sound() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["a"] = 1
    return buffer.getvalue()


def test_a_process_that_read_a_cut_file_ends_in_peace(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(sound())
    command = [sys.executable, "-c", PROGRAM_OF_A_CUT_FILE, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "x: was cut" in ran.stdout


def test_a_process_that_read_one_ends_in_peace(tmp_path: Path) -> None:
    """The traceback of an error that is kept must not hold objects of the C library: they cannot outlive it."""
    whole = bytearray(sound())
    struct.pack_into("<Q", whole, 48, 2**64 - 2**16)  # where the superblock says that more about the file is
    path = tmp_path / "x.h5"
    path.write_bytes(whole)
    ran = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "declares bytes" in ran.stdout
