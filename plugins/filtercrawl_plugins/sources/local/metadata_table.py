"""Read `metadata.csv`, `metadata.jsonl` and `metadata.parquet`, as `datasets` reads them beside images."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import CheckpointError, FormatError
from filtercrawl_plugins.formats.json_text import parse_json
from filtercrawl_plugins.sources.local.side_files import read_side_file

# Rows, and bytes of the columns of Parquet once decoded, whatever few bytes of a file stand for them.
MAX_ROWS: Final = 1_000_000
MAX_DECODED: Final = 256 * 1024 * 1024
_BATCH_ROWS: Final = 64
_MAX_FIELD: Final = 1024 * 1024
_INTEGER: Final = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
_FLOAT: Final = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?")

Row = dict[str, Any]


def read_table(path: Path, root: Path) -> list[Row]:
    """Return the rows of a metadata file by column; empty cells are left out.

    Args:
        path: The file.
        root: The folder that is listed.

    Raises:
        CheckpointError: The file cannot be read, is too large, or has no column `file_name`.
    """
    data, rows = read_side_file(path, root), list[Row]()
    try:
        for row in READERS[path.name](data):
            _check_count(len(rows) + 1)
            rows.append({key: value for key, value in row.items() if not _is_empty(value)})
    except (ValueError, CheckpointError, csv.Error) as error:
        raise FormatError(f"{path.name}: cannot be read ({' '.join(str(error).split())})") from error
    if not any("file_name" in row for row in rows):
        raise FormatError(f"{path.name}: has no column file_name")
    return rows


def _check_count(rows: int) -> None:
    if rows > MAX_ROWS:
        raise ValueError(f"more than {MAX_ROWS:,} rows")


def _read_csv(data: bytes) -> Iterator[Row]:
    csv.field_size_limit(_MAX_FIELD)
    for row in csv.DictReader(_text(data), strict=True):
        if None in row:
            raise ValueError(f"a row has more cells than there are columns: {row[None]!r:.80}")
        yield {key: _number(value) for key, value in row.items()}


def _read_json_lines(data: bytes) -> Iterator[Row]:
    for number, line in enumerate(_text(data), 1):
        if not line.strip():
            continue
        row = parse_json(line.encode(), f"line {number}")
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        yield row


def _text(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")


def _read_parquet(data: bytes) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            _check_count(file.metadata.num_rows)
            n_bytes = 0
            for batch in file.iter_batches(_BATCH_ROWS):
                n_bytes += batch.nbytes
                if n_bytes > MAX_DECODED:
                    raise ValueError(f"more than {MAX_DECODED:,} bytes")
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


# In the order in which they are looked for.
READERS: Final[Mapping[str, Callable[[bytes], Iterator[Row]]]] = {
    "metadata.csv": _read_csv,
    "metadata.jsonl": _read_json_lines,
    "metadata.parquet": _read_parquet,
}


def _number(text: str | None) -> str | int | float | None:
    """Return the number that a cell states, else its text."""
    text = (text or "").strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {})
