"""The neighbors that a search has found."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.formatting import escape_control, format_count

# Neighbors that are shown in a notebook.
_SHOWN: Final = 60


@dataclass(frozen=True, kw_only=True)
class SearchReport:
    """Neighbors of the kernels that were asked for.

    Attributes:
        neighbors: One row for each, those of a query together and the nearest first: `query`, `rank` from 0,
            `cosine` or `distance`, `image` (how the query is turned, flipped or negated to be nearest), `kernel_id`
            (`layer_id:out:in`), columns of `index`, and `values`, the kernel, float32 `[taps]`.
        kernel_size: Size of the kernels.
        searched: Number of kernels that were compared.
        measure: `cosine` or `distance`.
    """

    neighbors: pa.Table
    kernel_size: tuple[int, ...]
    searched: int
    measure: str

    def to_dict(self) -> dict[str, Any]:
        """Return the output of `filtercrawl similar --json`."""
        return {
            "kernel_size": list(self.kernel_size),
            "searched": self.searched,
            "measure": self.measure,
            "neighbors": self.neighbors.to_pylist(),
        }

    def __str__(self) -> str:
        size = "x".join(map(str, self.kernel_size))
        lines = [f"{format_count(self.searched)} kernels of {size} searched"]
        rows = self.neighbors.to_pylist()
        query = 0 if all(row["query"] == 0 for row in rows) else None  # a single one needs no head
        for row in rows:
            if row["query"] != query:
                query = row["query"]
                lines.append(f"query {query}")
            image = "" if row["image"] == "as it is" else f"  ({row['image']})"
            lines.append(f"  {row[self.measure]:9.6f}  {escape_control(row['kernel_id'])}{image}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Show pictures of the neighbors in a notebook; text from the dataset is escaped."""
        from filtercrawl.dataset.tables.preview import render_layer

        figures = []
        for row in self.neighbors.slice(0, _SHOWN).to_pylist():
            picture = render_layer(np.array([row["values"]], np.float32), self.kernel_size)
            name = escape(escape_control(row["kernel_id"]))
            figures.append(
                '<figure style="display:inline-block;width:9em;margin:.3em;vertical-align:top">'
                f'<img alt="{name}" style="width:5em;image-rendering:pixelated" '
                f'src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
                '<figcaption style="font-size:.7em;overflow-wrap:anywhere">'
                f"{row[self.measure]:.4f}<br>{name}</figcaption></figure>"
            )
        left = self.neighbors.num_rows - len(figures)
        more = f"<p>{left:,} more in <code>neighbors</code></p>" if left else ""
        return f"<p>{escape(str(self).splitlines()[0])}</p><div>{''.join(figures)}</div>{more}"
