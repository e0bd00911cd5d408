"""CSV that pandas reads back, and in which no spreadsheet program finds formulas."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Final

import pyarrow as pa

# First characters of cells that Excel, LibreOffice or Google Sheets evaluate as formulas.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_KEPT: Final = ("\t", "\n")


def csv_text(rows: pa.Table) -> str:
    """Return a table as CSV with a header: decimal points, empty cells for null, JSON for lists.

    Text that would be evaluated as a formula is prefixed with an apostrophe; numbers are not, whatever their sign.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_text(name) for name in rows.column_names])
    for batch in rows.to_batches(max_chunksize=10_000):
        writer.writerows(zip(*map(_cells, batch.columns), strict=True))
    return out.getvalue()


def _cells(column: pa.Array) -> list[str]:
    if pa.types.is_string(column.type):
        encoded = column.dictionary_encode()
        words = [_text(word) for word in encoded.dictionary.to_pylist()]
        return ["" if code is None else words[code] for code in encoded.indices.to_pylist()]
    return [_cell(value) for value in column.to_pylist()]


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
    if not text.isprintable():  # also changes of the writing direction, which show another text than is there
        text = "".join(c if c.isprintable() or c in _KEPT else "\ufffd" for c in text)
    return f"'{text}" if text.startswith(_FORMULA) else text
