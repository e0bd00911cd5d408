"""Columns that a metadata file may state, and their values as `models` has them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from filtercrawl.api.licenses import to_spdx

# `SOURCE/NAME` of an architecture.
ARCHITECTURE: Final = re.compile(r"[a-z0-9-]+/[\w.-]+(/[\w.-]+)?")
TEXTS: Final = (
    "task", "visual_category", "architecture", "family", "tag", "library", "license", "license_evidence", "paper",
    "released",
)  # fmt: skip
RUN: Final = ("run_id", "step", "seed", "run_final")
KNOWN_COLUMNS: Final = frozenset({"file_name", "training_datasets", "metrics", "arch", *TEXTS, *RUN})
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})


def convert(name: str, value: Any) -> Any:
    """Return a value as its column has it; raises ValueError."""
    try:
        if name in _CONVERTERS:
            return _CONVERTERS[name](value)
        return str(value).strip() if name in KNOWN_COLUMNS else _as_json(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _whole_number(value: Any) -> int:
    try:
        whole = not isinstance(value, bool) and float(value).is_integer()
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError("not a whole number")
    return int(value)


def _step(value: Any) -> int:
    step = _whole_number(value)
    if step < 0:
        raise ValueError("a negative number")
    return step


def _flag(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("neither true nor false")
    return word in _TRUE


def _names(value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else str(value).split(";")
    return tuple(text for part in parts if (text := str(part).strip()))


def _metrics(value: Any) -> dict[str, Any]:
    metrics = json.loads(value, parse_constant=_no_number) if isinstance(value, str) else value
    if not isinstance(metrics, dict):
        raise ValueError("not a JSON object")
    return metrics


def _no_number(name: str) -> Any:
    """Refuse NaN and infinities, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is no number in JSON; leave out what is unknown")


def _license(value: Any) -> str:
    expression = to_spdx(str(value))
    if expression is None:
        raise ValueError("not an SPDX expression")
    return expression


def _architecture(value: Any) -> str:
    text = str(value).strip()
    if not ARCHITECTURE.fullmatch(text):
        raise ValueError("not SOURCE/NAME, such as timm/resnet18")
    return text


_CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "step": _step,
    "seed": _whole_number,
    "run_final": _flag,
    "training_datasets": _names,
    "metrics": _metrics,
    "license": _license,
    "arch": _architecture,
}


def _as_json(value: Any) -> Any:
    """Return a value of a column of the user's own as JSON has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_as_json(part) for part in value]
    return str(value)


def reserved_columns() -> frozenset[str]:
    """Return the columns of `models` that a metadata file cannot state."""
    from filtercrawl.dataset.schema.arrow import MODELS

    return frozenset(MODELS.names) - KNOWN_COLUMNS
