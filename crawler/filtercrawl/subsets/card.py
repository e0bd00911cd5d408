"""The card of a subset: README.md in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from filtercrawl.dataset.card.body import escape


def render_card(about: Mapping[str, Any]) -> str:
    """Return the card as Markdown; `about` is what `subset.json` says."""
    return "\n".join(_lines(about)) + "\n"


def _lines(about: Mapping[str, Any]) -> Iterator[str]:
    layers, kernels = about["layers"], about["kernels"]
    yield f"# {about['name']}, version {about['version']}\n"
    if about["description"]:
        yield f"{escape(about['description'], 400)}\n"
    yield f"{kernels['kept']:,} kernels of {layers['kept']:,} layers, made by the recipe in `subset.json`.\n"
    yield "| split | models | groups of kin | layers | kernels |\n|---|---|---|---|---|"
    for name, counts in about["splits"].items():
        yield f"| {name} | {' | '.join(f'{number:,}' for number in counts.values())} |"
    yield "\nModels that are kin are in one split."
    if layers["excluded"] or kernels["excluded"]:
        yield "What is left out, by the first rule that did it:\n"
        yield "| of | reason | number |\n|---|---|---|"
    for what, excluded in (("layers", layers["excluded"]), ("kernels", kernels["excluded"])):
        for reason, count in excluded.items():
            yield f"| {what} | `{reason}` | {count:,} |"
    yield "\n`DIR` is the dataset that this is a subset of: its folder, or `org/name@version`."
    yield f"Where this folder is not in that dataset, give its path in place of `{about['name']}`:\n"
    yield "```python"
    yield "from filtercrawl import load_subset\n"
    yield f'subset = load_subset(DIR, "{about["name"]}", split="{next(iter(about["splits"]))}")'
    yield "for layer in subset:"
    yield "    print(layer.layer_id, tuple(layer.kernels.shape))  # float32 [n, *kernel_size]"
    yield "```\n"
    yield "| hash | SHA-256 |\n|---|---|"
    for name, what in (
        ("recipe_sha256", "the recipe"),
        ("inputs_sha256", "what it decides by in this dataset"),
        ("rows_sha256", "the rows of the subset"),
    ):
        yield f"| {what} | `{about[name]}` |"
