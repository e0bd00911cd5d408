"""The options of `sync`, which `release` has too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

from filtercrawl.cli.options import DatasetOption, KernelSizeOption

SyncOptions = Mapping[str, Any]
# Stands where the options will be in a command's signature.
SYNC_OPTIONS: Final[SyncOptions] = MappingProxyType({})
SelectorsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SELECTOR",
        help="SOURCE or SOURCE:PATTERN, for example local:models or packages:speechmos.",
    ),
]
LimitOption = Annotated[int | None, typer.Option(metavar="N", help="Read at most N checkpoints.")]
LicenseOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SPDX", help="Only checkpoints under this licence; may be repeated."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(metavar="auto|cpu|cuda|mps", help="Where kernels are normalized.", show_default="auto"),
]
JobsOption = Annotated[
    int | None, typer.Option(metavar="N", help="How many checkpoints to work on at a time.", show_default="2")
]
EngineOption = Annotated[str | None, typer.Option(metavar="local", help="What runs the work.", show_default="local")]
MaxBytesOption = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Stop after so many bytes, for example 2G."),
]
MaxDiskOption = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Layers take no more of the disk: `sync` stops, `release` sends them ahead."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where fetched bytes are kept.", show_default="~/.cache/filtercrawl"),
]
CacheSizeOption = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="How many fetched bytes are kept between runs.", show_default="16G"),
]
MaxRequestsOption = Annotated[int | None, typer.Option(metavar="N", help="Send at most N requests to the network.")]
TimeLimitOption = Annotated[str | None, typer.Option(metavar="TIME", help="Stop cleanly after, for example, 5h.")]
ProveOption = Annotated[
    bool | None,
    typer.Option("--prove", help="Fetch files whole where a sha256 is stated, and check them by it."),
]
PruneOption = Annotated[bool | None, typer.Option("--prune", help="Take out what the sources no longer offer.")]
RetryOption = Annotated[
    str | None,
    typer.Option(
        metavar="all|due|none", help="Which failed checkpoints to try again; due: after a pause.", show_default="due"
    ),
]
DryRunOption = Annotated[bool | None, typer.Option("--dry-run", help="Say what there is to do and do nothing.")]
RebuildOption = Annotated[
    bool | None, typer.Option("--rebuild", help="First make the catalog again from the published tables.")
]
FailOnOption = Annotated[
    str | None,
    typer.Option(
        metavar="new|any|none",
        help="Which failed checkpoints make exit code 3; new: not those of the last run.",
        show_default="new",
    ),
]

# Setting -> option, in the order in which help lists them.
OPTIONS: Final[Mapping[str, Any]] = {
    "dataset": DatasetOption, "limit": LimitOption, "kernel_size": KernelSizeOption, "license": LicenseOption,
    "device": DeviceOption, "jobs": JobsOption, "engine": EngineOption, "max_bytes": MaxBytesOption,
    "max_disk": MaxDiskOption, "cache": CacheOption, "cache_size": CacheSizeOption, "max_requests": MaxRequestsOption,
    "time_limit": TimeLimitOption, "prove": ProveOption, "prune": PruneOption, "retry": RetryOption,
    "dry_run": DryRunOption, "rebuild": RebuildOption, "fail_on": FailOnOption,
}  # fmt: skip


def with_sync_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `sync` where its parameter `options` stands: by setting, None where left out."""
    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=option)
        for name, option in OPTIONS.items()
    ]
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += added if name == "options" else [parameter]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {name: given.pop(name) for name in OPTIONS}
        command(**given, options=options | {"license": options["license"] or None})

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
