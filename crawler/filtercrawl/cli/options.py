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
