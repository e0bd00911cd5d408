"""Limits of what reads a checkpoint: the least that they may be, and where none holds."""

from __future__ import annotations

from typing import Annotated, Any, Final

from filtercrawl.config.fields import ValueType, parse_duration, parse_size, show_duration, show_size

# With less than this hardly any checkpoint could be read.
_LEAST_MEMORY: Final = 256 * 1024**2
_LEAST_SECONDS: Final = 1.0


def _parse_memory(value: Any) -> int:
    size = parse_size(value)
    if size < _LEAST_MEMORY:
        raise ValueError(value)
    return size


def _parse_time(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds < _LEAST_SECONDS:
        raise ValueError(value)
    return seconds


WorkerMemory = Annotated[
    int,
    ValueType(
        expected="a size of 256M or more, such as 2G",
        metavar="SIZE",
        parse=_parse_memory,
        show=show_size,
        unit="bytes",
    ),
]
WorkerTime = Annotated[
    float,
    ValueType(
        expected="a duration of 1s or more, such as 90s or 30m",
        metavar="DURATION",
        parse=_parse_time,
        show=show_duration,
        unit="seconds",
    ),
]
