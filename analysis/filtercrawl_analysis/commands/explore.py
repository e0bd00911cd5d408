"""The command `explore`, a thin layer over `filtercrawl_analysis.explorer`."""

from __future__ import annotations

import signal
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.log_output import show_on_stderr
from filtercrawl.config import resolve


def explore(
    dataset: Annotated[
        str | None, typer.Option(metavar="DIR|hub:REPO", help="A dataset folder, or a repository on the Hub.")
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="The port.", show_default="a free one")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address of the page.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the page's files for a static web server, and serve nothing."),
    ] = None,
) -> None:
    """Look at the kernels of a dataset in the browser: filter, sort, compare and find similar ones.

    Works without a network: the page is served on this machine only, until Ctrl-C.
    """
    from filtercrawl_analysis.explorer.explore import open_explorer, write_page

    where = dataset or resolve({}).require_folder()
    if out is not None:
        typer.echo(write_page(where, out))
        return
    with open_explorer(where, port) as server:
        typer.echo(server.url)
        show_on_stderr("Ctrl-C ends it")
        if not no_browser:
            webbrowser.open(server.url)
        number = _wait_for_signal()
    show_on_stderr("stopped")
    raise typer.Exit(128 + number)


def _wait_for_signal() -> int:
    """Wait until the process is told to end, and return the signal's number."""
    received: list[int] = []
    ended = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the handler's signature
        received.append(number)
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    ended.wait()
    return received[0]


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    """Register the command `explore`."""
    yield Command(name="explore", run=explore)
