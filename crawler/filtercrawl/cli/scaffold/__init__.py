"""Create the package of a new plugin from the templates beside this file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Literal

import jinja2

from filtercrawl.api.errors import PolicyError, UsageError
from filtercrawl.api.hookspecs import API_VERSION
from filtercrawl.api.plugin_modules import group_of

Kind = Literal["source", "reader", "analysis"]
KINDS: Final[tuple[Kind, ...]] = ("source", "reader", "analysis")
_GROUPS: Final[Mapping[Kind, str]] = {"source": "sources", "reader": "readers", "analysis": "analyses"}
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST: Final = 40


def write(name: str, kind: Kind, parent: Path) -> Path:
    """Write the package `filtercrawl-NAME` and return its folder.

    Args:
        name: The plugin's name.
        kind: What the plugin offers.
        parent: The folder to write into.

    Raises:
        UsageError: No plugin can have this name.
        PolicyError: Something of that name exists already.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"{name!r}: a plugin's name is at most {_LONGEST} lower-case letters, digits and single hyphens"
        )
    folder = parent / f"filtercrawl-{name}"
    if folder.exists():
        raise PolicyError(f"{folder} exists already; choose another name, or move it")
    module = f"filtercrawl_{name.replace('-', '_')}"
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 - Python, TOML and Markdown, of names that were checked
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    values = {
        "name": name,
        "module": module,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "kind": kind,
        "group": group_of(_GROUPS[kind]),
        "api_version": API_VERSION,
        "version": ".".join(version("filtercrawl").split(".")[:2]),
    }
    for path, template in (*_templates("common"), *_templates(kind)):
        target = folder / path.replace("MODULE", module)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(environment.from_string(template).render(values), "utf-8")
    return folder


def _templates(kind: str) -> Iterator[tuple[str, str]]:
    """Yield (path in the package, template) of one kind; in file names `dot.` stands for a leading dot."""
    yield from _below(files("filtercrawl.cli.scaffold") / "templates" / kind, "")


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = re.sub(r"^dot\.", ".", entry.name)
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{name}/")
        else:
            yield prefix + name.removesuffix(".jinja"), entry.read_text("utf-8")
