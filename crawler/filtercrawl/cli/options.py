"""Options that more than one command has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

DatasetOption = Annotated[
    Path | None,
    typer.Option("--dataset", metavar="DIR", help="The dataset folder.", show_default="./filtercrawl-dataset"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object; everything else goes to stderr.")]
KernelSizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="3x3|spatial|all",
        help="Which kernels to emit; spatial: more than one tap.",
        show_default="spatial",
    ),
]


def print_json(value: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def plain(text: object) -> str:
    """Make text from outside safe for a terminal: no control characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text))


def amount(number: float) -> str:
    """Write a count for people: 1,141,435."""
    return f"{number:,.0f}"


def many(number: int, thing: str) -> str:
    """Write a number of things: 1 layer, 12 kernels."""
    return f"{amount(number)} {thing}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Write bytes for people: 78 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
