"""Tables as CSV that pandas reads back and that no spreadsheet program takes for formulas."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any, Final

import pyarrow as pa

# What Excel, LibreOffice and Google Sheets evaluate when a cell begins with it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def csv_text(rows: pa.Table) -> str:
    """Return a table as CSV: a header, `.` in decimals, an empty cell for null, JSON for lists.

    Text that would be a formula gets an apostrophe in front; numbers are numbers, whatever their sign.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_text(name) for name in rows.column_names])
    for batch in rows.to_batches(max_chunksize=10_000):
        columns = [column.to_pylist() for column in batch.columns]
        writer.writerows([_cell(value) for value in row] for row in zip(*columns, strict=True))
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | dict):
        return _text(json.dumps(value, ensure_ascii=False, default=str))
    return _text(str(value))


def _text(text: str) -> str:
    text = _CONTROL.sub("\ufffd", text)
    return f"'{text}" if text.startswith(_FORMULA) else text
