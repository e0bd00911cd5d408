"""Rules on names and shapes of state dict entries, for files that state nothing else.

BatchNorm and other normalizations, biases, optimizer state, position embeddings and so on are recognized here. A name
decides only where the shapes of a module leave it open, see `filtercrawl.extraction.sibling_evidence`.
"""

from __future__ import annotations

import math
import re
from typing import Final

# Prefixes that DataParallel, torch.compile, FSDP and activation checkpointing add to names.
_WRAPPERS: Final = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module.")
# Names that only wrappers have; `module` may be a network's own.
WRAPPER_PARTS: Final = frozenset(name.removesuffix(".") for name in _WRAPPERS[1:]) | {"_fpw_module"}
# Parameter names of kernels. Spectral norm, weight norm and pruning store the raw tensor under names of their own.
_WEIGHT: Final = re.compile(
    r"^(weight|weight_orig|weight_v|weight_bar|weight_raw|weight_(v|orig)_orig|parametrizations\.weight\.original[01]?)$"
)
_BUFFERS: Final = re.compile(
    r"^(num_batches_tracked|\w*mask|\w*_cache|position_ids|iter|step|epoch|counter|weight_[uv]|sn_u|sn_sigma|u0|sv0"
    r"|parametrizations\.\w+\.\d+\.\w+)$"
)
_OPTIMIZER_LEAF: Final = re.compile(
    r"^(exp_avg\w*|max_exp_avg_sq|exp_inf|mu_product|momentum_buffer|square_avg|acc_delta|grad_avg|sum|prev|step_size)$"
)
_OPTIMIZER_ROOT: Final = re.compile(r"(^|_)(optim(izer)?s?[a-z]?|opt|(lr_)?schedulers?)($|[_\d])")
# Without `opt`, which may mean optical.
_OPTIMIZER_WORD: Final = re.compile(r"(^|_)(optim(izer)?s?[a-z]?|(lr_)?schedulers?)($|[_\d])")
_POSITION: Final = re.compile(
    r"(pos_embed|pos_emb\b|position_embed|positional|relative_position|rel_pos|attention_bias|pos_encod|absolute_pos)"
    r"|_pos$"
)
_BIAS: Final = re.compile(r"(^|[_.])bias$|^parametrizations\.bias\.original\d*$")
_RECURRENT: Final = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse)?$")
_NORM_LEAF: Final = re.compile(
    r"^(running_mean|running_var|weight_g|num_batches_tracked|parametrizations\.weight\.original0)$"
)
# Not `normal`: a surface normal, or a normal distribution.
_NORM_MODULE: Final = re.compile(r"norm(?!als?($|_|\d))|(^|_)(bn|ln|gn)\d*(_|$)", re.IGNORECASE)
_NORM_WORD: Final = re.compile(r"^((batch|layer|group|instance|rms|sync)_?)?(norm|bn|ln|gn)_?\d*[a-z]?$", re.IGNORECASE)
_CONSTANT_INPUT: Final = re.compile(
    r"^((learned|initial)_)?(const(ant)?(_?input)?|input(_?const(ant)?)?)$", re.IGNORECASE
)
_ACTIVATION: Final = re.compile(r"(^|[._])(p?relu\d*|act\d*|activation)([._]|$)", re.IGNORECASE)
_QUANTIZATION: Final = re.compile(r"(scale|zero_point|min_val|max_val|observer)", re.IGNORECASE)
_FIXED: Final = re.compile(
    r"(^|[._/])(stft|istft|dft|cqt|fourier|forward_basis|inverse_basis|mel_basis)", re.IGNORECASE
)
# Names of modules that quantize a weight at run time: torch's `weight_fake_quant`, pytorch-quantization and ModelOpt,
# Brevitas, LSQ.
_WEIGHT_QUANTIZER: Final = re.compile(r"^_?(weight_(fake_quant|quant|quantizer|fake_quantizer)|quan_w_fn)$")
# Length of each direction of a weight that PEFT decomposes (DoRA), in the shape of a kernel.
_MAGNITUDE: Final = "lora_magnitude_vector"
# Taps of the shortest transform.
_BASIS_TAPS: Final = 16


def strip_wrapper_prefixes(key: str) -> str:
    """Remove the prefixes of wrappers from a key."""
    while key.startswith(_WRAPPERS):
        key = key.split(".", 1)[1]
    return key


def strip_wrappers(key: str) -> str:
    """Remove the names of wrappers from a key, wherever they stand; `module` only at its head."""
    parts = strip_wrapper_prefixes(key).split(".")
    return strip_wrapper_prefixes(".".join(part for part in parts if part not in WRAPPER_PARTS))


def split_parameter_name(key: str) -> tuple[str, str]:
    """Split a key into the module path and the name of the parameter.

    State of a parametrization belongs to the parametrized module: `conv`, `parametrizations.weight.original`.
    """
    return split_raw_parameter_name(strip_wrapper_prefixes(key))


def parameter_name(key: str) -> str:
    """Return the name of a parameter in its module."""
    return split_parameter_name(key)[1]


def split_raw_parameter_name(key: str) -> tuple[str, str]:
    """Split a key as `split_parameter_name` does, and keep the prefixes of wrappers."""
    before, found, after = key.rpartition("parametrizations.")
    if found and (not before or before.endswith(".")) and after:
        return before.removesuffix("."), found + after
    module, _, leaf = key.rpartition(".")
    return module, leaf


def is_optimizer_leaf(key: str) -> bool:
    """Return whether the last part of a name is that of a moment or counter of an optimizer."""
    return bool(_OPTIMIZER_LEAF.match(key.rpartition(".")[2]))


def optimizer_container(root: tuple[str, ...], key: str) -> tuple[str, ...] | None:
    """Return the path of the container whose name is that of an optimizer or a scheduler, None if there is none."""
    above = (*root, key.split(".", 1)[0]) if "." in key else root
    return next((above[: i + 1] for i, part in enumerate(above) if _OPTIMIZER_ROOT.search(part.lower())), None)


def is_optimizer_word(container: tuple[str, ...], root: tuple[str, ...]) -> bool:
    """Return whether the name of a container proves an optimizer without more: not that of a module, and not `opt`."""
    return len(container) <= len(root) and bool(_OPTIMIZER_WORD.search(container[-1].lower()))


def is_kernel(key: str, shape: tuple[int, ...]) -> bool:
    """Return whether a name and a shape are those of a convolution's weight.

    Transforms stored as convolutions are recognized by the name of their basis.
    """
    return kernel_objection(key, shape) is None


def is_weight_name(leaf: str) -> bool:
    """Return whether the name of a parameter is one that weights of convolutions have."""
    return bool(_WEIGHT.match(leaf)) and not leaf.endswith("original0")


def kernel_objection(key: str, shape: tuple[int, ...]) -> str | None:
    """Return the rule by which a name and a shape are those of no convolution's weight, None if they may be."""
    module, leaf = split_parameter_name(key)
    if not 3 <= len(shape) <= 5:
        return "parameter_shape"
    if 0 in shape:
        return "empty"
    if not is_weight_name(leaf) and not is_fixed_basis(key, shape):
        return "parameter_name"
    if _MAGNITUDE in module.split("."):
        return "module_name"
    if _POSITION.search(leaf.lower()):
        return "parameter_name"
    # Position embeddings are broadcast over the batch; convolutions that compute positions are convolutions.
    if shape[0] == 1 and shape[1] > 1 and _POSITION.search(key.lower()):
        return "parameter_name"
    return other_operator(module.rpartition(".")[2], shape)


def other_operator(owner: str, shape: tuple[int, ...]) -> str | None:
    """Return the rule by which a weight with 3 to 5 axes belongs to no convolution, None if it may.

    A LayerNorm over several axes has one weight an element. Bilinear forms `[out, in, in]` and stacked matrices
    (experts, `[n, in, out]`) are longer than 1-D kernels with many channels ever are. Modulated convolutions
    (StyleGAN2) store `[1, out, in, k, k]`: five axes, but no 3-D convolution. Their networks start from a picture
    `[1, c, h, w]`.

    Args:
        owner: Name of the module, the last component of its path.
        shape: Shape of the weight.
    """
    if is_modulated(shape):
        return "modulated_shape"
    if is_matrix_stack(shape):
        return "matrix_stack"
    square_input = len(shape) == 4 and shape[0] == 1 < shape[1] and shape[2] == shape[3]
    named = (owner.lower() == "bilinear" and len(shape) == 3) or (square_input and _CONSTANT_INPUT.match(owner))
    # Of four axes or more, only a module that is called a normalization and nothing else.
    norm = is_norm(owner) and (len(shape) == 3 or shape[0] == 1 or bool(_NORM_WORD.match(owner)))
    return "module_name" if named or norm else None


def is_weight_quantizer(module: str) -> bool:
    """Return whether the name of a module is that of a quantizer of the weight of the module above it."""
    return bool(_WEIGHT_QUANTIZER.match(module))


def is_modulated(shape: tuple[int, ...]) -> bool:
    """Return whether a shape is that of a modulated convolution, `[1, out, in, k, k]`."""
    return len(shape) == 5 and shape[0] == 1 and shape[2] >= 8 and shape[2] > shape[3] == shape[4]


def is_matrix_stack(shape: tuple[int, ...]) -> bool:
    """Return whether a shape of three axes is that of matrices rather than of 1-D kernels."""
    return len(shape) == 3 and shape[1] > 64 and shape[2] > 128


def is_norm(owner: str) -> bool:
    """Return whether a module's name is that of a normalization."""
    return bool(_NORM_MODULE.search(owner)) and "conv" not in owner.lower()


def exclusion_reason(key: str, shape: tuple[int, ...], *, floating: bool) -> tuple[str, str]:
    """Return why a state dict entry is no kernel, as far as its name and shape tell: the reason, and the rule."""
    module, leaf = split_parameter_name(key)
    lowered = key.lower()
    owner = module.rpartition(".")[2]
    rules: tuple[tuple[str, str, bool], ...] = (
        ("empty", "empty", 0 in shape),
        ("scale", "module_name", _MAGNITUDE in key.split(".")),
        ("recurrent", "parameter_name", bool(_RECURRENT.search(leaf))),
        ("norm", "parameter_name", bool(_NORM_LEAF.match(leaf))),
        ("norm", "module_name", is_norm(owner)),
        (
            "attention_position",
            "parameter_name",
            bool(_POSITION.search(lowered)) and not lowered.endswith("norm.weight"),
        ),
        ("buffer", "parameter_name", bool(_BUFFERS.match(leaf))),
        ("buffer", "dtype", not floating and len(shape) != 2),
        ("quantization", "module_name", any(map(is_weight_quantizer, module.split(".")))),
        (
            "quantization",
            "parameter_name",
            bool(_QUANTIZATION.search(leaf)) and len(shape) <= 1 and "weight" in leaf,
        ),
        ("bias", "parameter_name", bool(_BIAS.search(leaf))),
        ("activation", "module_name", bool(_ACTIVATION.search(owner)) and len(shape) <= 1),
        (
            "scale",
            "parameter_name",
            "scale" in leaf or "gamma" in leaf or leaf in ("alpha", "beta", "sigma", "gain"),
        ),
        ("embedding", "parameter_shape", len(shape) == 2 and "emb" in lowered),
        (
            "linear",
            "parameter_shape",
            len(shape) == 2 and leaf.startswith(("weight", "in_proj", "parametrizations", "w")),
        ),
        ("buffer", "parameter_shape", len(shape) == 0),
        # One weight a channel and no other hint: a normalization in a Sequential.
        ("norm", "parameter_shape", len(shape) == 1 and leaf == "weight"),
        ("nonstandard_operator", "module_name", len(shape) >= 3 and bool(_WEIGHT.match(leaf))),
    )
    return next(((reason, rule) for reason, rule, holds in rules if holds), ("other", "none"))


def is_fixed_basis(name: str, shape: tuple[int, ...]) -> bool:
    """Return whether name and shape are those of a transform stored as a convolution: Fourier, constant-Q, mel.

    A transform has one input channel and one long axis, or works on frames: `[n / 2 + 1, n, 1]` or `[n (+ 2), n, 1]`.
    """
    if not _FIXED.search(name) or not 3 <= len(shape) <= 4:
        return False
    taps, longest, n = math.prod(shape[2:]), max(shape[2:]), shape[1]
    signal = n == 1 and taps == longest >= _BASIS_TAPS
    return signal or (taps == 1 and n >= _BASIS_TAPS and shape[0] in (n // 2 + 1, n, n + 2))
