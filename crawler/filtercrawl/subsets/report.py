"""What making a subset did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filtercrawl.api.formatting import escape_control, format_count, format_plural
from filtercrawl.display import html_table


@dataclass(frozen=True, kw_only=True)
class SubsetReport:
    """A subset that was made, or would be.

    Attributes:
        about: What `subset.json` says: hashes, and counts by reason of exclusion.
        folder: Where it was written; None for a dry run.
        changed: Whether anything was written; the same subset may have been there already.
        root: Root hash of the dataset's manifest when the subset was made; None where it has none.
        paths: The files of the folder, relative to it.
    """

    about: Mapping[str, Any]
    folder: Path | None
    changed: bool
    root: str | None
    paths: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what `filtercrawl subset --json` prints."""
        folder = None if self.folder is None else str(self.folder)
        return {**self.about, "root": self.root, "folder": folder, "changed": self.changed, "paths": list(self.paths)}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        layers, kernels = self.about["layers"], self.about["kernels"]
        yield f"{self.about['name']} {self.about['version']}: {escape_control(self.about['description'])}"
        yield f"  layers   {format_count(layers['kept'])} of {format_count(layers['total'])}"
        yield from _reasons(layers["excluded"])
        yield f"  kernels  {format_count(kernels['kept'])} of {format_count(kernels['total'])} in the layers left"
        yield from _reasons(kernels["excluded"])
        for name, counts in self.about["splits"].items():
            numbers = ", ".join(
                format_plural(n, what.replace("_", " ").removesuffix("s")) for what, n in counts.items()
            )
            yield f"  {name:<10} {numbers}"
        if len(self.about["splits"]) > 1 and not self.about["kin"]["lineage"]:
            yield (
                "  the analysis `lineage` was not made: models of which every layer was trained on are kin only where "
                "a card states it; run `filtercrawl analyze --only lineage` first"
            )
        yield f"  recipe   {self.about['recipe_sha256']}"
        yield f"  rows     {self.about['rows_sha256']}"
        if self.folder is not None:
            yield f"{self.folder}: {'written' if self.changed else 'unchanged'}"

    def _repr_html_(self) -> str:
        facts = {name: self.about[name] for name in ("description", "recipe_sha256", "rows_sha256")}
        counts = {f"{name}: {what}": number for name, of in self.about["splits"].items() for what, number in of.items()}
        return html_table(f"{self.about['name']} {self.about['version']}", {**facts, **counts, "folder": self.folder})


def _reasons(excluded: Mapping[str, int]) -> Iterator[str]:
    for reason, count in sorted(excluded.items(), key=lambda item: (-item[1], item[0])):
        yield f"    {reason:<24} {format_count(count):>12}"
