"""What a release says: how it ended, and that what it advises is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import typer

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.cli.app import build
from support.crashes.checks import faults_of_output
from support.crashes.commands import Ended
from support.nights.night import DONE, Run

# An option of the command line, in prose.
_OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def faults_of_end(run: Run, ended: Ended) -> Iterator[str]:
    """Say what is wrong with how a run ended and with what it said."""
    yield from faults_of_output(ended)
    if ended.status not in run.ends:
        yield f"exit code {ended.status}, expected {run.ends}: {ended.output[-2000:]}"
    elif (ended.status or run.ends == DONE) and not re.search(run.says, " ".join(ended.output.split())):
        yield f"does not say {run.says!r}: {ended.output[-2000:]}"
    every = frozenset[str]().union(*options_by_command().values())
    for line in ended.output.splitlines():
        if line.startswith(("error: ", "warning: ")):
            yield from (f"advises {name}, which no command has: {line}" for name in named_options(line) - every)
    for command in named_commands(ended.output):
        known = options_by_command().get(command.split()[1])
        if known is None or named_options(command) - known:
            yield f"advises `{command}`, which there is not"


def faults_of_json(ended: Ended) -> Iterator[str]:
    """Say whether a run with `--json` printed no object, or one with another exit code."""
    start = re.search(r"^\{$|^\{\"", ended.output, re.MULTILINE)
    if start is None:
        yield f"no JSON with exit code {ended.status}: {ended.output[-1000:]}"
        return
    found, _ = json.JSONDecoder().raw_decode(ended.output[start.start() :])
    if found.get("exit_code") != ended.status:
        yield f"the JSON states the exit code {found.get('exit_code')}, not {ended.status}"


def faults_of_advice(run: Run, before: Run, said: str) -> Iterator[str]:
    """Say which options the next run needs that the one before did not name."""
    for option in named_options(" ".join(run.options)) - {*before.options} - named_options(said):
        yield f"does not advise {option}, which helps: {said[-1500:]}"


def named_commands(output: str) -> list[str]:
    """Return the commands of filtercrawl that an output has in backticks."""
    return re.findall(r"`(filtercrawl [^`]+)`", " ".join(output.split()))


def named_options(text: str) -> set[str]:
    """Return the options of a command line that a text names."""
    return set(_OPTION.findall(text))


@cache
def options_by_command() -> dict[str, frozenset[str]]:
    """Return the options of every command."""
    group: Any = typer.main.get_command(build(load_plugins()))
    context = group.context_class(group)
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {
        name: frozenset(option for parameter in command.params for option in parameter.opts)
        for name, command in commands.items()
    }
