"""Write `docs/commands.md` from the program's own help; a test holds the page against it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.cli.app import build
from filtercrawl.cli.options import LogFormatOption, VerboseOption
from filtercrawl.config.resolve import SettingName, all_settings, all_tables

INTRODUCTION = """# Commands

Written by `python docs/commands.py` from the program's own help.

Exit codes: 0 fine, also when there was nothing to do; 1 stopped by an error; 2 wrong usage or settings; 3 finished, but
checkpoints failed as `--fail-on` counts them, a source did not finish its listing, or an analysis failed; 4 refused by
a guard; 5 busy, try again; 130 and 143 stopped cleanly.

`--json` prints one object on every exit. A command that ends before it has a result prints `error` and `exit_code`;
`release` prints its record in any case, with `outcome`, `exit_code` and `why`.

A checkpoint that cannot be read fails, and makes the exit code 3 in the first run that finds it so; `--fail-on any`
counts it in every run until it is read. What a source leaves out is skipped, and named with its reason, but is no
failure.
"""

# What every command has, by its help.
SHARED = {option.help for annotation in (VerboseOption, LogFormatOption) for option in annotation.__metadata__}

SETTINGS = """## Settings

A setting is taken from the option of the command, else from the environment variable, else from `filtercrawl.toml` in
the current folder, else it has its default. An unknown key in the file is an error. `filtercrawl config` shows what
holds and where it comes from.

```toml
[sync]
dataset = "kernels"
kernel_size = "all"
time_limit = "5h"
```
"""


def page() -> str:
    """Return the page: what every command does, its arguments and options."""
    group: Any = typer.main.get_command(build(load_plugins()))
    options = [parameter for parameter in group.params if parameter.name != "show_version"]
    every = [p for p in group.get_command(group.context_class(group), "status").params if is_shared(p)]
    shared = ["Every command has these options:\n", *table(every), ""]
    before = ["Before the command stand options that choose plugins:\n", *table(options), ""]
    sections = (section(name, command) for name, command in commands(group))
    return "\n".join([INTRODUCTION, *before, *shared, SETTINGS, *settings(), *sections])


def settings() -> Iterator[str]:
    """Yield the reference of the settings, a table for each table of the file."""
    named = list(all_settings())
    for key, description in all_tables().items():
        yield f"### [{key}]\n\n{description.help}\n"
        rows = [setting for setting in named if setting.table.key == key]
        if rows:
            yield "| key | value | default | variable | what it does |\n|---|---|---|---|---|"
            yield from (setting_row(setting) for setting in rows)
            yield ""


def setting_row(setting: SettingName) -> str:
    field = setting.field
    unit = f" ({field.type.unit})" if field.type.unit else ""
    default = "false" if field.is_flag else field.default_text or ""
    variable = "" if setting.variable is None else f"`{setting.variable}`"
    value = f"`{field.metavar}`{unit}".replace("|", "\\|")
    return f"| `{field.name}` | {value} | {default} | {variable} | {field.about.help} |"


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command by what is typed, those of groups one by one."""
    context = group.context_class(group, info_name="filtercrawl")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def section(name: str, command: Any) -> str:
    """Describe one command; from its parameters and not from rendered help, which changes with Typer's versions."""
    usage = " ".join(["filtercrawl", name, *(argument(p) for p in command.params if is_argument(p)), "[OPTIONS]"])
    about = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    own = [parameter for parameter in command.params if not is_shared(parameter)]
    return "\n".join([f"## {name}\n", f"    {usage}\n", f"{about}\n", *table(own), ""])


def is_shared(parameter: Any) -> bool:
    """Tell whether every command has this option; `sources` has a `--verbose` of its own."""
    return parameter.help in SHARED


def table(parameters: list[Any]) -> list[str]:
    return ["| option | what it does |", "|---|---|", *map(row, parameters)]


def is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def argument(parameter: Any) -> str:
    name = (parameter.metavar or (parameter.name or "").upper()).removesuffix("...")
    return name + ("..." if parameter.nargs == -1 else "")


def row(what: Any) -> str:
    names = argument(what) if is_argument(what) else ", ".join(what.opts)
    value = "" if getattr(what, "is_flag", True) else f" {what.metavar}"
    default = f" Default: {what.show_default}." if isinstance(getattr(what, "show_default", None), str) else ""
    cell = f"{what.help or ''}{default}".replace("|", "\\|")
    option = f"{names}{value}".replace("|", "\\|")
    return f"| `{option}` | {cell} |"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), "utf-8")
