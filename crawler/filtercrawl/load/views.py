"""The views that `load_layers` knows by name: the bundled ones, and those of plugins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa

from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.api.view import View
from filtercrawl.load.effective import COLUMNS

RAW: Final = View(name="raw", about="Weights as the checkpoint stores them.")
# By the part that a layer has in its network; where that is unknown, a layer is in none of them.
PLACES: Final = (
    View(name="first", about="Layers that no convolution precedes.", where="is_first"),
    View(name="patchify", about="First layers whose stride is their kernel size.", where="is_patchify"),
    View(name="stem", about="Layers of the stem.", where="is_stem"),
    View(name="last-spatial", about="Layers that no spatial convolution follows.", where="is_last_spatial"),
    View(name="downsampling", about="Layers that make the map smaller.", where="is_downsampling"),
    View(name="depthwise", about="Layers whose input channels have their own filters each.", where="depthwise"),
    View(
        name="separable",
        about="Depthwise layers whose output a pointwise one takes, `pointwise_follower`.",
        where="pointwise_follower is not null",
    ),
)

# Its weights depend on other layers and on `effective`: `load_layers` computes them.
EFFECTIVE: Final = View(
    name="effective",
    about="Weights that the network convolves with: branches merged, normalizations folded.",
    where="merged_into IS NULL",
    columns=COLUMNS,
)

BUNDLED_VIEWS: Final[Mapping[str, View]] = {view.name: view for view in (RAW, EFFECTIVE, *PLACES)}


def find_views(names: str | Sequence[str]) -> tuple[View, ...]:
    """Return the views of these names; plugins are only imported for a name that is not bundled.

    Args:
        names: The name of a view, or of several that are combined.

    Raises:
        UsageError: No view has one of the names, or these are no names.
    """
    several = (names,) if isinstance(names, str) else names
    if not isinstance(several, Sequence):
        raise UsageError(f"view: {names!r} is neither a name nor a list of names; there are {', '.join(BUNDLED_VIEWS)}")
    return tuple(_find(several))


def transformed(table: pa.Table, view: View) -> pa.Table:
    """Apply the transform of a view to a loaded table.

    Raises:
        UsageError: The view returns a table whose shapes or weights have another type.
    """
    if view.transform is None:
        return table
    result = view.transform(table)
    for name in ("shape", "weight"):
        if name not in result.column_names or result.schema.field(name).type != table.schema.field(name).type:
            raise UsageError(
                f"the view {view.name!r} does not return the column {name} as {table.schema.field(name).type}"
            )
    return result


def _find(names: Sequence[str]) -> Iterator[View]:
    for name in names:
        known = BUNDLED_VIEWS if name in BUNDLED_VIEWS else {**load_plugins().views, **BUNDLED_VIEWS}
        if name not in known:
            raise UsageError(f"no view is named {name!r}; there are {', '.join(known)}")
        yield known[name]
