"""Direct access to the pages of the `weight` column: no list array is assembled and nothing large is copied.

The layout that `sync` writes is known: zstd, byte_stream_split, no nulls, whole rows in each page. Arrow takes three
times as long to assemble lists as to read the numbers, and several times their memory. Files of any other layout are
read by Arrow.
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
# Page types and encodings of the Parquet format.
_DATA_PAGE, _RLE, _BYTE_STREAM_SPLIT = 0, 3, 9
# Field numbers of PageHeader and DataPageHeader.
_TYPE, _UNCOMPRESSED_SIZE, _COMPRESSED_SIZE, _DATA_PAGE_HEADER = 1, 2, 3, 5
_NUM_VALUES, _ENCODING, _DEFINITION_ENCODING, _REPETITION_ENCODING = 1, 2, 3, 4
# Bytes to read for a header, which has about 60.
_MAX_HEADER: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Page:
    """One data page of the `weight` column.

    Attributes:
        offset: Where the compressed bytes start in the file.
        compressed_size: Their number.
        size: Number of uncompressed bytes.
        start: The first weight of the page, counted from the start of the row group.
        stop: One past the last.
    """

    offset: int
    compressed_size: int
    size: int
    start: int
    stop: int


def find_pages(file: BinaryIO, group: pq.RowGroupMetaData, ends: NDArray[np.int64]) -> list[Page] | None:
    """Find the pages of a row group's weights by their headers.

    What a header claims is checked against the rows, the file and the size of a row group.

    Args:
        file: The Parquet file.
        group: The row group.
        ends: Where each row ends, in weights from the start of the row group, int64 [rows].

    Returns:
        The pages in order; None if they are not laid out as `sync` writes them.
    """
    column = next((c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == COLUMN), None)
    if column is None or not _is_supported(column) or column.num_values != ends[-1]:
        return None
    row_boundaries = {0, *ends.tolist()}
    position, end = column.data_page_offset, column.data_page_offset + column.total_compressed_size
    pages: list[Page] = []
    start = 0
    while position < end:
        file.seek(position)
        page = _parse_header(file.read(min(_MAX_HEADER, end - position)), position, start)
        if page is None or page.stop not in row_boundaries or page.offset + page.compressed_size > end:
            return None
        pages.append(page)
        position, start = page.offset + page.compressed_size, page.stop
    return pages if start == ends[-1] else None


def read_byte_planes(file: BinaryIO, page: Page) -> NDArray[np.uint8]:
    """Return the bytes of a page's weights by significance, lowest first, uint8 [4, weights].

    Raises:
        OSError: The file cannot be read, or the compressed data is damaged.
        ValueError: The page does not hold as many bytes as its weights need.
    """
    file.seek(page.offset)
    body = np.frombuffer(pa.Codec("zstd").decompress(file.read(page.compressed_size), page.size), np.uint8)
    position = 0
    for _ in ("repetition levels", "definition levels"):  # not needed: no list is null or empty
        position += 4 + int.from_bytes(body[position : position + 4].tobytes(), "little")
    values = body[position:]
    if len(values) != 4 * (page.stop - page.start):
        raise ValueError("the size of a page of weights does not match their number")
    return values.reshape(4, -1)


def merge_byte_planes(planes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Reassemble float32 [n] from the bytes uint8 [4, n] of `read_byte_planes`."""
    # Shifts are vectorized: faster than storing every fourth byte.
    bits = planes[3].astype(np.uint32)
    for plane in planes[2::-1]:
        bits <<= np.uint32(8)
        bits |= plane
    values: NDArray[np.float32] = bits.view(np.float32)
    return values


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


def _parse_header(header: bytes, position: int, start: int) -> Page | None:
    try:
        fields, length = parse_struct(header)
        data: dict[int, Any] = fields[_DATA_PAGE_HEADER]
        layout = (fields[_TYPE], data[_ENCODING], data[_DEFINITION_ENCODING], data[_REPETITION_ENCODING])
        compressed_size, size, count = fields[_COMPRESSED_SIZE], fields[_UNCOMPRESSED_SIZE], data[_NUM_VALUES]
    except (ValueError, KeyError, TypeError):
        return None
    # Repetition and definition levels take at most three bits per value.
    if layout != (_DATA_PAGE, _BYTE_STREAM_SPLIT, _RLE, _RLE) or not 0 < 4 * count <= size <= 5 * count + 64:
        return None
    if compressed_size < 0 or size > 2 * ROW_GROUP_BYTES:
        return None
    return Page(offset=position + length, compressed_size=compressed_size, size=size, start=start, stop=start + count)
