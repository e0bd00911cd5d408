"""The numbers of `weight`, page by page as they lie in a Parquet file: no list is assembled, nothing large is copied.

What `sync` writes is known: zstd, byte_stream_split, no nulls, a page of whole rows. Assembling lists takes Arrow three
times as long as the numbers themselves, and several times their memory. Any other layout is left to Arrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.dataset.schema.arrow import ROW_GROUP_BYTES
from filtercrawl_analysis.data.parquet_thrift import parse_struct

COLUMN: Final = "weight.list.element"
# Of the Parquet format: kinds of pages, encodings, and where a page's header says what.
_DATA_PAGE, _RLE, _BYTE_STREAM_SPLIT = 0, 3, 9
_KIND, _SIZE, _STORED, _DATA = 1, 2, 3, 5
_NUMBERS, _ENCODING, _DEFINITION, _REPETITION = 1, 2, 3, 4
# A header has some 60 bytes.
_HEADER: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Page:
    """offset, stored: where its compressed bytes lie; size: uncompressed; start, stop: its numbers in the row group."""

    offset: int
    stored: int
    size: int
    start: int
    stop: int


def pages(file: BinaryIO, group: pq.RowGroupMetaData, ends: NDArray[np.int64]) -> list[Page] | None:
    """Find the pages of a row group's weights; None where they do not lie as `sync` writes them.

    ends: where each row ends, in numbers from the start of the row group, int64 [rows]. Of a page nothing but its
    header is read; what that claims fits the rows, the file and a row group's size.
    """
    column = next((c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == COLUMN), None)
    if column is None or not _is_supported(column) or column.num_values != ends[-1]:
        return None
    borders = {0, *ends.tolist()}
    at, last = column.data_page_offset, column.data_page_offset + column.total_compressed_size
    found: list[Page] = []
    start = 0
    while at < last:
        file.seek(at)
        page = _page(file.read(min(_HEADER, last - at)), at, start)
        if page is None or page.stop not in borders or page.offset + page.stored > last:
            return None
        found.append(page)
        at, start = page.offset + page.stored, page.stop
    return found if start == ends[-1] else None


def read_byte_planes(file: BinaryIO, page: Page) -> NDArray[np.uint8]:
    """Return the first, second, third and last bytes of a page's numbers, uint8 [4, numbers].

    Raises OSError or ValueError for bytes that are damaged.
    """
    file.seek(page.offset)
    body = np.frombuffer(pa.Codec("zstd").decompress(file.read(page.stored), page.size), np.uint8)
    at = 0
    for _ in ("repetition", "definition"):  # both are of no use: there is a number in every place
        at += 4 + int.from_bytes(body[at : at + 4].tobytes(), "little")
    values = body[at:]
    if len(values) != 4 * (page.stop - page.start):
        raise ValueError("a page of weights has not as many bytes as numbers need")
    return values.reshape(4, -1)


def merge_byte_planes(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Put the bytes of numbers together again: uint8 [4, n] to float32 [n]."""
    # By shifts, which are done many at a time: faster than to store every fourth byte.
    whole = planes[3].astype(np.uint32)
    for plane in planes[2::-1]:
        whole <<= np.uint32(8)
        whole |= plane
    numbers: NDArray[np.float32] = whole.view(np.float32)
    return numbers


def _is_supported(column: pq.ColumnChunkMetaData) -> bool:
    statistics = column.statistics
    return bool(
        column.physical_type == "FLOAT"
        and column.compression == "ZSTD"
        and not column.has_dictionary_page
        and statistics is not None
        and statistics.has_null_count
        and statistics.null_count == 0
    )


def _page(header: bytes, at: int, start: int) -> Page | None:
    try:
        found, length = parse_struct(header)
        data: dict[int, Any] = found[_DATA]
        kinds = (found[_KIND], data[_ENCODING], data[_DEFINITION], data[_REPETITION])
        stored, size, numbers = found[_STORED], found[_SIZE], data[_NUMBERS]
    except (ValueError, KeyError, TypeError):
        return None
    # Levels take three bits a number at most.
    if kinds != (_DATA_PAGE, _BYTE_STREAM_SPLIT, _RLE, _RLE) or not 0 < 4 * numbers <= size <= 5 * numbers + 64:
        return None
    if stored < 0 or size > 2 * ROW_GROUP_BYTES:
        return None
    return Page(offset=at + length, stored=stored, size=size, start=start, stop=start + numbers)
