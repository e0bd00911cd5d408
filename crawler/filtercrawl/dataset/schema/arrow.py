"""The Arrow schemas of the dataset; within one major version columns are only added, nullable."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = 1

# A row holds at most this many numbers (16 MiB of float32), or one output channel.
ROW_NUMBERS: Final = 4_194_304
# Bytes of weights in a row group, at most; the contract allows 64 MiB, one full row keeps the memory of a writer low.
ROW_GROUP_BYTES: Final = 16_777_216

_ints = pa.list_(pa.int32())
_strings = pa.list_(pa.string())
_time = pa.timestamp("us", tz="UTC")

# What the bytes of a layer prove; the schema of the immutable files is frozen.
_LAYER: Final = [
    pa.field("model_id", pa.string(), nullable=False),
    pa.field("layer_id", pa.string(), nullable=False),
    pa.field("row_id", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("layer", pa.string(), nullable=False),
    pa.field("tensor", pa.string(), nullable=False),
    pa.field("op", pa.string(), nullable=False),
    pa.field("kernel", pa.string(), nullable=False),
    pa.field("kernel_size", _ints, nullable=False),
    pa.field("taps", pa.int32(), nullable=False),
    pa.field("shape", pa.list_(pa.int64()), nullable=False),
    pa.field("out_channels", pa.int64(), nullable=False),
    pa.field("in_channels", pa.int64()),
    pa.field("groups", pa.int64()),
    pa.field("depthwise", pa.bool_()),
    pa.field("bank_index", pa.int32()),
    pa.field("n_kernels", pa.int64(), nullable=False),
    pa.field("part", pa.int32(), nullable=False),
    pa.field("n_parts", pa.int32(), nullable=False),
    pa.field("out_start", pa.int64(), nullable=False),
    pa.field("stored_dtype", pa.string(), nullable=False),
    pa.field("weight_sha256", pa.string(), nullable=False),
    pa.field("layer_sha256", pa.string(), nullable=False),
]

LAYERS: Final = pa.schema([*_LAYER, pa.field("weight", pa.large_list(pa.float32()), nullable=False)])

# A convolution whose weight is not stored was not read: its hashes are unknown.
_UNREAD: Final = {"weight_sha256", "layer_sha256"}

INDEX: Final = pa.schema(
    [
        *(field.with_nullable(True) if field.name in _UNREAD else field for field in _LAYER),
        pa.field("file", pa.string()),
        pa.field("row_group", pa.int32()),
        pa.field("stride", _ints),
        pa.field("padding", _ints),
        pa.field("dilation", _ints),
        pa.field("conv_depth", pa.int32()),
        pa.field("conv_depth_norm", pa.float64()),
        pa.field("n_conv_ancestors", pa.int32()),
        pa.field("n_calls", pa.int32()),
        pa.field("is_first", pa.bool_()),
        pa.field("is_last", pa.bool_()),
        pa.field("depth_decile", pa.int32()),
        pa.field("weight_kind", pa.string(), nullable=False),
        pa.field("bn_folded", pa.bool_()),
        pa.field("structure_source", pa.string(), nullable=False),
        pa.field("operator_verified", pa.bool_(), nullable=False),
        pa.field("task", pa.string()),
        pa.field("visual_category", pa.string()),
        pa.field("training_datasets", _strings),
        pa.field("training_dataset", pa.string()),
        pa.field("architecture", pa.string()),
        pa.field("family", pa.string()),
        pa.field("recipe", pa.string()),
        pa.field("license", pa.string()),
        pa.field("run_id", pa.string()),
        pa.field("step", pa.int64()),
        pa.field("run_final", pa.bool_()),
        pa.field("duplicate_of", pa.string()),
        pa.field("sparsity", pa.float64()),
        pa.field("n_dead", pa.int64()),
        pa.field("n_nonfinite", pa.int64()),
        pa.field("variance_entropy", pa.float64()),
        pa.field("variance_entropy_norm", pa.float64()),
        pa.field("orthogonality", pa.float64()),
        pa.field("norm_l1", pa.float64()),
        pa.field("norm_l2", pa.float64()),
        pa.field("norm_linf", pa.float64()),
        pa.field("redistributable", pa.bool_()),
    ]
)

MODELS: Final = pa.schema(
    [
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("aliases", _strings),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("next_retry", _time),
        pa.field("revision", pa.string()),
        pa.field("etag", pa.string()),
        pa.field("last_modified", _time),
        pa.field("file", pa.string()),
        pa.field("url", pa.string()),
        pa.field("format", pa.string()),
        pa.field("file_sha256", pa.string()),
        pa.field("file_bytes", pa.int64()),
        pa.field("bytes_fetched", pa.int64()),
        pa.field("architecture", pa.string()),
        pa.field("family", pa.string()),
        pa.field("tag", pa.string()),
        pa.field("library", pa.string()),
        pa.field("task", pa.string()),
        pa.field("visual_category", pa.string()),
        pa.field("training_datasets", _strings),
        pa.field("license", pa.string()),
        pa.field("license_evidence", pa.string()),
        pa.field("paper", pa.string()),
        pa.field("released", pa.string()),
        pa.field("run_id", pa.string()),
        pa.field("step", pa.int64()),
        pa.field("seed", pa.int64()),
        pa.field("run_final", pa.bool_()),
        pa.field("metrics", pa.string()),
        pa.field("extra", pa.string()),
        pa.field("num_params", pa.int64()),
        pa.field("n_layers", pa.int64()),
        pa.field("n_kernels", pa.int64()),
        pa.field("n_kernels_3x3", pa.int64()),
        pa.field("tensors_emitted", pa.int64()),
        pa.field("tensors_skipped", pa.int64()),
        pa.field("duplicate_of", pa.string()),
        pa.field("layers_file", pa.string()),
        pa.field("kernel_policy", pa.string()),
        pa.field("verified", pa.string()),
        pa.field("first_seen", _time),
        pa.field("last_seen", _time),
        pa.field("first_release", pa.string()),
        pa.field("crawled_at", _time),
        pa.field("filtercrawl_version", pa.string()),
        pa.field("selectors", _strings),
        pa.field("license_policy", pa.string()),
        pa.field("state", pa.string()),
    ]
)

LEDGER: Final = pa.schema(
    [
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("tensor", pa.string(), nullable=False),
        pa.field("shape", pa.list_(pa.int64()), nullable=False),
        pa.field("dtype", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)

# values: one kernel, row-major; picked by hash, at most 64 a layer.
SAMPLES: Final = pa.schema(
    [
        pa.field("kernel_id", pa.string(), nullable=False),
        pa.field("layer_id", pa.string(), nullable=False),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("op", pa.string(), nullable=False),
        pa.field("kernel", pa.string(), nullable=False),
        pa.field("taps", pa.int32(), nullable=False),
        pa.field("depthwise", pa.bool_()),
        pa.field("weight_kind", pa.string(), nullable=False),
        pa.field("task", pa.string()),
        pa.field("layer_sha256", pa.string(), nullable=False),
        pa.field("out_channel", pa.int64(), nullable=False),
        pa.field("in_channel", pa.int64(), nullable=False),
        pa.field("values", pa.list_(pa.float32()), nullable=False),
    ]
)

# picture: a PNG as the Image feature of `datasets` stores it.
PREVIEW: Final = pa.schema(
    [
        pa.field("layer_id", pa.string(), nullable=False),
        pa.field("picture", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("op", pa.string(), nullable=False),
        pa.field("kernel", pa.string(), nullable=False),
        pa.field("shape", pa.list_(pa.int64()), nullable=False),
        pa.field("depthwise", pa.bool_()),
        pa.field("n_kernels", pa.int64(), nullable=False),
        pa.field("weight_kind", pa.string(), nullable=False),
        pa.field("task", pa.string()),
        pa.field("license", pa.string()),
        pa.field("sparsity", pa.float64()),
        pa.field("variance_entropy", pa.float64()),
    ]
)

# Statistics of a layer that merge, by its layer_sha256: by them every group of layers is analysed without its weights.
# Sums are float64 and over the kernels without NaN and infinities, but for power_sums (number, sums of w to w^4) and
# norm_l1, which are over all finite weights. The matrices are packed upper triangles, row by row. `raw` is of the
# weights as stored, `scaled` of each kernel in float16 over its largest magnitude (paper). Null where a layer has too
# many taps for it. The same bytes are other kernels where their size is another: the key is (layer_sha256, kernel).
SKETCHES: Final = pa.schema(
    [
        pa.field("layer_sha256", pa.string(), nullable=False),
        pa.field("kernel", pa.string(), nullable=False),
        pa.field("taps", pa.int32(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("n_kernels", pa.int64(), nullable=False),
        pa.field("n_finite", pa.int64(), nullable=False),
        pa.field("n_dead", pa.int64(), nullable=False),
        pa.field("n_zero", pa.int64(), nullable=False),
        pa.field("max_abs", pa.float64(), nullable=False),
        pa.field("power_sums", pa.list_(pa.float64()), nullable=False),
        pa.field("norm_l1", pa.float64(), nullable=False),
        pa.field("radial_energy", pa.list_(pa.float64()), nullable=False),
        pa.field("raw_mean", pa.list_(pa.float64())),
        pa.field("raw_scatter", pa.list_(pa.float64())),
        pa.field("scaled_mean", pa.list_(pa.float64())),
        pa.field("scaled_scatter", pa.list_(pa.float64())),
        pa.field("histogram", pa.list_(pa.int64())),
    ]
)

RENAMES: Final = pa.schema(
    [
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("old_name", pa.string(), nullable=False),
        pa.field("new_name", pa.string(), nullable=False),
        pa.field("seen", _time, nullable=False),
    ]
)

WITHDRAWN: Final = pa.schema(
    [
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("withdrawn", _time, nullable=False),
    ]
)

# A row a selector that was listed; selector_id is what `models.selectors` names. selector: null where it holds a path
# of the machine it ran on.
SOURCES: Final = pa.schema(
    [
        pa.field("selector_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("selector", pa.string()),
        pa.field("plugin", pa.string()),
        pa.field("listed", _time),
        pa.field("n_offered", pa.int64()),
    ]
)

FILES: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)

# Every table but `layers`, by the name of its config.
TABLES: Final = {
    "index": INDEX,
    "models": MODELS,
    "ledger": LEDGER,
    "samples": SAMPLES,
    "sketches": SKETCHES,
    "preview": PREVIEW,
    "renames": RENAMES,
    "withdrawn": WITHDRAWN,
    "sources": SOURCES,
    "files": FILES,
}
