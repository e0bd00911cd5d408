"""Write `docs/architecture.md` and its picture from the import contracts in `pyproject.toml`; a test compares them."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Final

TOP: Final = Path(__file__).parents[1]
SOURCES: Final = {
    "filtercrawl_publish": "publish",
    "filtercrawl_analysis": "analysis",
    "filtercrawl_plugins": "plugins",
    "filtercrawl": "crawler",
}
WIDTH: Final = 1080
LEFT: Final = 190
ROW: Final = 64
GAP: Final = 8

INTRODUCTION = """# Architecture

filtercrawl is four packages in one wheel. A package imports only packages below it, and nobody imports a plugin by
name: bundled plugins come in through the same entry points as anybody's. Inside a package each folder imports only
folders below it. [import-linter](https://import-linter.readthedocs.io) checks this in CI, and this page is generated
from its contracts by `python docs/architecture.py`.

![Packages and their folders, in layers: each imports only what is below it](architecture.svg)
"""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package with its folders in layers, the top one first; the folders of one layer do not import each other."""

    name: str
    layers: tuple[tuple[str, ...], ...]

    def summary(self, folder: str) -> str:
        """Return the first sentence of the docstring of a folder or module."""
        path = TOP / SOURCES[self.name] / self.name / folder
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        text = ast.get_docstring(ast.parse(source.read_text("utf-8"))) or ""
        return " ".join(text.partition("\n\n")[0].split())


def packages() -> list[Package]:
    """Return the packages in the order of their layers, from the contracts."""
    contracts = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layered = [contract for contract in contracts if contract["type"] == "layers"]
    (order,) = (contract["layers"] for contract in layered if "containers" not in contract)
    rooms = {contract["containers"][0]: contract["layers"] for contract in layered if "containers" in contract}
    return [
        Package(name=name, layers=tuple(tuple(part.strip() for part in layer.split("|")) for layer in rooms[name]))
        for name in order
    ]


def picture(shown: list[Package]) -> str:
    """Return the layers as an SVG picture."""
    parts: list[str] = []
    y = GAP
    for package in shown:
        height = len(package.layers) * (ROW + GAP) + GAP
        parts.append(f'<rect class="package" x="{GAP}" y="{y}" width="{WIDTH - 2 * GAP}" height="{height}" rx="6"/>')
        parts.append(f'<text class="name" x="{3 * GAP}" y="{y + 30}">{package.name}</text>')
        parts.append(f'<text class="where" x="{3 * GAP}" y="{y + 50}">{SOURCES[package.name]}/</text>')
        for number, layer in enumerate(package.layers):
            top = y + GAP + number * (ROW + GAP)
            width = (WIDTH - LEFT - 2 * GAP - GAP * len(layer)) / len(layer)
            for column, folder in enumerate(layer):
                x = LEFT + column * (width + GAP)
                parts.append(f'<rect class="folder" x="{x:.0f}" y="{top}" width="{width:.0f}" height="{ROW}" rx="4"/>')
                parts.append(f'<text class="name" x="{x + 12:.0f}" y="{top + 20}">{folder}</text>')
                for line, words in enumerate(wrap(package.summary(folder), int(width / 6.4))[:2]):
                    text, baseline = escape(words.replace("`", "")), top + 38 + 16 * line
                    parts.append(f'<text class="what" x="{x + 12:.0f}" y="{baseline}">{text}</text>')
        y += height + GAP
    style = (
        "text{font-family:system-ui,sans-serif;fill:#1b1f24}.name{font-size:15px;font-weight:600}"
        ".what{font-size:12px;fill:#3d444d}.where{font-size:12px;fill:#59636e}"
        ".package{fill:#eef2f7;stroke:#8c959f}.folder{fill:#ffffff;stroke:#8c959f}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img">'
    title = "<title>The packages of filtercrawl and their folders, in layers</title>"
    return "\n".join([head, title, f"<style>{style}</style>", *parts, "</svg>", ""])


def page() -> str:
    """Return the page, with the folders as lists below the picture."""
    parts = [INTRODUCTION]
    for package in packages():
        parts.append(f"## `{SOURCES[package.name]}/{package.name}`\n")
        folders = [folder for layer in package.layers for folder in layer]
        parts.append("\n".join(f"- `{folder}`: {package.summary(folder)}" for folder in folders) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), "utf-8")
    Path(__file__).with_suffix(".svg").write_text(picture(packages()), "utf-8")
