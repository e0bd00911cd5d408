"""The command `export fanns`: write a benchmark set of filtered nearest neighbor search."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import JsonOption, print_report
from filtercrawl.config import resolve


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.", show_default=False)],
    dataset: Annotated[str | None, typer.Option(metavar="DIR|REPO", help="A folder or org/name[@revision].")] = None,
    kernel: Annotated[str, typer.Option(metavar="SIZE", help="Size of the kernels: the dimension.")] = "3x3",
    size: Annotated[int, typer.Option(metavar="N", min=1, help="Vectors to search in, at most.")] = 1_000_000,
    queries: Annotated[int, typer.Option(metavar="N", min=1, help="Vectors to search for.")] = 1_000,
    neighbors: Annotated[int, typer.Option("-k", metavar="N", min=1, help="Neighbors of each query.")] = 100,
    metric: Annotated[
        str, typer.Option(metavar="l2|cosine", help="The distance; for the cosine vectors have norm 1.")
    ] = "l2",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which kernels are chosen.")] = 0,
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="A condition over the columns of index, such as depthwise."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing folder.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a benchmark set of filtered nearest neighbor search.

    Kernels as vectors, with attributes, held-out queries, filters of several selectivities and exact neighbors, in the
    layouts that fanns-benchmark, big-ann-benchmarks and ann-benchmarks read, and as Parquet files. The same dataset and
    options give the same bytes.
    """
    from filtercrawl_publish.export.fanns import BenchmarkOptions, write_benchmark

    options = BenchmarkOptions(
        kernel=kernel,
        size=size,
        queries=queries,
        neighbors=neighbors,
        metric=metric,  # type: ignore[arg-type]  # checked by the options
        seed=seed,
        where=where,
    )
    report = write_benchmark(dataset or resolve({}).require_folder(), folder, options, replace=force)
    print_report(report, as_json=json)


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="export fanns", run=run)
