"""A layer as a row of `index`: what is known before its numbers are read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from filtercrawl.dataset.schema.arrow import ROW_NUMBERS
from filtercrawl.dataset.schema.rows import Row
from filtercrawl.extraction.layer import Layer


def layer_row(model_id: str, source: str, layer: Layer) -> Row:
    """Return what is known of a layer before its numbers are read, as a row of `index`."""
    tensor, facts, depth = layer.tensor, layer.tensor.convolution, layer.tensor.depth
    layer_id = f"{model_id}#{tensor.name}" + ("" if tensor.bank_index is None else f"@{tensor.bank_index}")
    return {
        "model_id": model_id,
        "layer_id": layer_id,
        "row_id": f"{layer_id}#part0",
        "source": source,
        "layer": layer.path,
        "tensor": tensor.name,
        "op": layer.op,
        "kernel": layer.kernel,
        "kernel_size": list(layer.kernel_size),
        "taps": layer.taps,
        "shape": list(layer.shape),
        "out_channels": layer.out_channels,
        "in_channels": layer.in_channels,
        "groups": layer.groups,
        "depthwise": layer.depthwise,
        "bank_index": tensor.bank_index,
        "n_kernels": layer.n_kernels,
        "part": 0,
        "n_parts": len(n_parts(layer.shape)),
        "out_start": 0,
        "stored_dtype": tensor.dtype,
        "weight_sha256": None,
        "layer_sha256": None,
        "row_group": None,
        "stride": _listed(facts.stride if facts else None),
        "padding": _listed(facts.padding if facts else None),
        "dilation": _listed(facts.dilation if facts else None),
        "n_calls": facts.n_calls if facts else None,
        "conv_depth": depth and depth.conv_depth,
        "conv_depth_norm": depth and depth.conv_depth_norm,
        "n_conv_ancestors": depth and depth.n_conv_ancestors,
        "is_first": depth and depth.is_first,
        "is_last": depth and depth.is_last,
        "depth_decile": depth and depth.decile,
        "weight_kind": layer.weight_kind,
        "structure_source": facts.source if facts else "state_dict",
        "operator_verified": layer.operator_verified,
    }


def n_parts(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Split the output channels so that a part has at most 4,194,304 numbers, or is one channel."""
    step = max(1, ROW_NUMBERS // math.prod(shape[1:]))
    return [(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


def convolution_kind(row: Row) -> tuple[str, int]:
    """The order of the rows: a row group holds one kernel size and one answer to whether it is depthwise."""
    return row["kernel"], {False: 0, True: 1, None: 2}[row["depthwise"]]


def fingerprint(rows: Sequence[Row]) -> str | None:
    """Digest the multiset of (kernel size, layer_sha256) of the emitted layers; None where there are none."""
    lines = sorted(f"{row['kernel']} {row['layer_sha256']}\n" for row in rows if row["layer_sha256"] is not None)
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else None


def rebase_layer_row(row: Row, model_id: str, source: str) -> Row:
    """Give a layer of another checkpoint with the same file this one's ids."""
    layer_id = f"{model_id}#{row['tensor']}" + ("" if row["bank_index"] is None else f"@{row['bank_index']}")
    return row | {"model_id": model_id, "source": source, "layer_id": layer_id, "row_id": f"{layer_id}#part0"}


def _listed(values: tuple[int, ...] | None) -> list[int] | None:
    return None if values is None else list(values)
