"""Rules on names and shapes of state dict entries, for files that state nothing else.

BatchNorm and other normalizations, biases, optimizer state, position embeddings and so on are recognized here.
"""

from __future__ import annotations

import re
from typing import Final

# Prefixes that DataParallel and torch.compile add to every name.
_WRAPPERS: Final = ("module.", "_orig_mod.")
# Parameter names of kernels. Spectral norm, weight norm and pruning store the raw tensor under names of their own.
_WEIGHT: Final = re.compile(r"^(weight|weight_orig|weight_v|parametrizations\.weight\.original[01]?)$")
_BUFFERS: Final = re.compile(r"^(num_batches_tracked|\w*mask|\w*_cache|position_ids|iter|step|epoch|counter)$")
_OPTIMIZER_LEAF: Final = re.compile(
    r"^(exp_avg\w*|max_exp_avg_sq|exp_inf|mu_product|momentum_buffer|square_avg|acc_delta|grad_avg|sum|prev|step_size)$"
)
_OPTIMIZER_ROOT: Final = re.compile(r"(^|_)(optim(izer)?s?[a-z]?|opt|(lr_)?schedulers?)($|[_\d])")
_POSITION: Final = re.compile(
    r"(pos_embed|pos_emb\b|position_embed|positional|relative_position|rel_pos|attention_bias|pos_encod|absolute_pos)"
    r"|_pos$"
)
_RECURRENT: Final = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse)?$")
_NORM_LEAF: Final = re.compile(r"^(running_mean|running_var|weight_g|num_batches_tracked)$")
_NORM_MODULE: Final = re.compile(r"norm|(^|_)(bn|ln|gn)\d*(_|$)", re.IGNORECASE)
_ACTIVATION: Final = re.compile(r"(^|[._])(p?relu\d*|act\d*|activation)([._]|$)", re.IGNORECASE)
_QUANTIZATION: Final = re.compile(r"(scale|zero_point|min_val|max_val|observer)", re.IGNORECASE)
_FIXED: Final = re.compile(
    r"(^|[._/])(stft|istft|dft|cqt|fourier|forward_basis|inverse_basis|mel_basis)", re.IGNORECASE
)


def strip_wrapper_prefixes(key: str) -> str:
    """Remove the prefixes of wrappers from a key."""
    while key.startswith(_WRAPPERS):
        key = key.split(".", 1)[1]
    return key


def split_parameter_name(key: str) -> tuple[str, str]:
    """Split a key into the module path and the name of the parameter."""
    key = strip_wrapper_prefixes(key)
    for tail in (
        ".parametrizations.weight.original0",
        ".parametrizations.weight.original1",
        ".parametrizations.weight.original",
    ):
        if key.endswith(tail):
            return key[: -len(tail)], tail[1:]
    module, _, leaf = key.rpartition(".")
    return module, leaf


def in_optimizer(root: tuple[str, ...], key: str) -> bool:
    """Return whether a tensor belongs to the state of an optimizer or a scheduler."""
    above = (*root, key.split(".", 1)[0]) if "." in key else root
    return any(_OPTIMIZER_ROOT.search(part.lower()) for part in above) or bool(
        _OPTIMIZER_LEAF.match(key.rpartition(".")[2])
    )


def is_kernel(key: str, shape: tuple[int, ...]) -> bool:
    """Return whether a name and a shape are those of a convolution's weight.

    Transforms stored as convolutions are recognized by the name of their basis.
    """
    module, leaf = split_parameter_name(key)
    if not (_WEIGHT.match(leaf) or _FIXED.search(key)) or not 3 <= len(shape) <= 5 or 0 in shape:
        return False
    if leaf.endswith("original0") or _POSITION.search(leaf.lower()):
        return False
    # Position embeddings are broadcast over the batch; convolutions that compute positions are convolutions.
    if shape[0] == 1 and shape[1] > 1 and _POSITION.search(key.lower()):
        return False
    return not is_other_operator(module.rpartition(".")[2], shape)


def is_other_operator(owner: str, shape: tuple[int, ...]) -> bool:
    """Return whether a weight with 3 to 5 axes belongs to no convolution, by its module's name and its shape.

    A LayerNorm over several axes has one weight an element. Bilinear forms `[out, in, in]` and stacked matrices
    (experts,
    `[n, in, out]`) are longer than 1-D kernels with many channels ever are. Modulated convolutions (StyleGAN2) store
    `[1, out, in, k, k]`: five axes, but no 3-D convolution.

    Args:
        owner: Name of the module, the last component of its path.
        shape: Shape of the weight.
    """
    if owner.lower() == "bilinear" or is_norm(owner):
        return True
    if len(shape) == 5:
        return shape[0] == 1 and shape[2] >= 8 and shape[2] > shape[3] == shape[4]
    return len(shape) == 3 and shape[1] > 64 and shape[2] > 128


def is_norm(owner: str) -> bool:
    """Return whether a module's name is that of a normalization."""
    return bool(_NORM_MODULE.search(owner)) and "conv" not in owner.lower()


def exclusion_reason(root: tuple[str, ...], key: str, shape: tuple[int, ...], *, floating: bool) -> str:
    """Return the reason why a state dict entry is no kernel, as far as its name and shape tell."""
    module, leaf = split_parameter_name(key)
    lowered = key.lower()
    owner = module.rpartition(".")[2]
    rules: tuple[tuple[str, bool], ...] = (
        ("optimizer_state", in_optimizer(root, key)),
        ("empty", 0 in shape),
        ("recurrent", bool(_RECURRENT.search(leaf))),
        ("norm", bool(_NORM_LEAF.match(leaf)) or is_norm(owner)),
        ("attention_position", bool(_POSITION.search(lowered)) and not lowered.endswith("norm.weight")),
        ("buffer", bool(_BUFFERS.match(leaf)) or (not floating and len(shape) != 2)),
        ("quantization", bool(_QUANTIZATION.search(leaf)) and len(shape) <= 1 and "weight" in leaf),
        ("bias", leaf == "bias" or leaf.endswith(("_bias", ".bias"))),
        ("activation", bool(_ACTIVATION.search(owner)) and len(shape) <= 1),
        ("scale", "scale" in leaf or "gamma" in leaf or leaf in ("alpha", "beta", "sigma", "gain")),
        ("embedding", len(shape) == 2 and "emb" in lowered),
        ("linear", len(shape) == 2 and leaf.startswith(("weight", "in_proj", "parametrizations", "w"))),
        ("buffer", len(shape) == 0),
        # One weight a channel and no other hint: a normalization in a Sequential.
        ("norm", len(shape) == 1 and leaf == "weight"),
        ("nonstandard_operator", len(shape) >= 3 and bool(_WEIGHT.match(leaf))),
    )
    return next((word for word, holds in rules if holds), "other")


def is_fixed_basis(name: str) -> bool:
    """Return whether a name is that of a transform stored as a convolution: Fourier, constant-Q, mel."""
    return bool(_FIXED.search(name))
