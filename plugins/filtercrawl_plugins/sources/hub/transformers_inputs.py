"""What the networks of transformers take: token ids, images, videos, sound, patches and time series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import nn

from filtercrawl_plugins.sources.hub.example_inputs import Network, Rule, constant, meta
from filtercrawl_plugins.sources.hub.video_sessions import sessions

_IMAGE_SIZE: Final = 224
_TEXT_LENGTH: Final = 32
# Patches of an image along each side, for networks that take patches; divisible by what merges them.
_GRID: Final = 16
# Samples, divisible by what encoders of sound join.
_AUDIO_LENGTH: Final = 38_400
_MOST_TOKENS: Final = 4096
# Of a text, for sound.
_AUDIO_TOKENS: Final = 4


def image_size(network: Network) -> tuple[int, int]:
    """Return height and width of an image in pixels."""
    side = network.value("image_size", "img_size", "input_size", "crop_size", "max_img_size", default=_IMAGE_SIZE)
    if isinstance(side, Mapping):
        side = [side.get("height", _IMAGE_SIZE), side.get("width", _IMAGE_SIZE)]
    if isinstance(side, list | tuple) and all(isinstance(number, int) for number in side) and side:
        return (side[-2], side[-1]) if len(side) > 1 else (side[0], side[0])
    return (side, side) if isinstance(side, int) else (_IMAGE_SIZE, _IMAGE_SIZE)


def _channels(network: Network) -> int:
    return network.number("num_channels", "in_channels", "in_chans", "num_input_channels", "image_channels", default=3)


def _pixels(network: Network) -> list[torch.Tensor]:
    if any(map(network.takes, ("grid_thw", "image_grid_thw", "image_grid_hw", "spatial_shapes"))):
        return _patches(network)
    channels, (height, width) = _channels(network), image_size(network)
    if network.takes("prompt_pixel_values"):  # prompts are put above
        return [meta(1, channels, height // 2, width)]
    if network.takes("aspect_ratio_ids"):
        return [meta(1, 1, network.number("max_num_tiles", default=4), channels, height, width)]
    frames = network.number("num_frames", "frames_per_clip", default=0)
    image, clip = meta(1, channels, height, width), meta(1, frames or 1, channels, height, width)
    pair = meta(1, 2, channels, height, width)
    usual = meta(1, channels, _IMAGE_SIZE, _IMAGE_SIZE)
    larger = [meta(1, channels, side, side) for side in (512, 1024, 1536)]
    patch = network.number("patch_size", default=14)
    if network.takes("target_sizes"):  # in patches
        larger.insert(0, meta(1, channels, _GRID * patch, _GRID * patch))
    if network.value("temporal_patch_size"):  # patches of two frames or more, colors last
        larger.insert(0, meta(4, network.number("temporal_patch_size"), patch, patch, channels))
    return [clip, image, usual] if frames else [image, clip, usual, pair, *larger]


def _patches(network: Network) -> list[torch.Tensor]:
    """Flattened patches, `[patches, numbers]`, with and without an axis of the batch."""
    size = network.number("patch_size", "spatial_patch_size", default=14)
    numbers = _channels(network) * size * size
    frames = network.number("temporal_patch_size", default=1)
    n_patches = _GRID * _GRID
    if network.takes("spatial_shapes"):
        return [meta(1, n_patches, numbers)]
    embedding = (
        part.in_features
        for name, part in network.module.named_modules()
        if "patch_embed" in name and isinstance(part, nn.Linear)
    )
    flat = [meta(n_patches, width) for width in (numbers * frames, numbers, next(embedding, numbers))]
    image = meta(n_patches, _channels(network), size, size)
    side = size * network.number("spatial_merge_size", default=1)
    merged = meta(n_patches, side, side, _channels(network))
    batched = [meta(1, n_patches, numbers), image[None]]
    return [*flat, image, *batched, meta(n_patches, network.number("hidden_size")), merged]


def _videos(network: Network) -> list[torch.Tensor]:
    if network.takes("pixel_values"):
        return []  # images take the same way
    channels, (height, width) = _channels(network), image_size(network)
    frames = network.number("num_frames", "frames_per_clip", default=16)
    return [meta(1, frames, channels, height, width), meta(1, frames, channels, 336, 336)]


def _hidden_states(network: Network) -> list[torch.Tensor]:
    if network.takes("grid_thw"):
        return _patches(network)
    sizes = ("hidden_size", "d_model", "embed_dim", "dim")
    widths = dict.fromkeys((network.number(*sizes, default=768), network.number("input_dim", default=768)))
    found = [meta(1, _TEXT_LENGTH, width) for width in widths]
    if network.first_convolution is not None and network.rank == 1:
        n_channels = network.first_convolution.in_channels
        found.insert(0, meta(1, n_channels, 1024 if n_channels > 1 else _AUDIO_LENGTH))
    return found


def _wave(network: Network) -> list[torch.Tensor]:
    channels = network.number("audio_channels", "channels", default=1)
    frames = network.number("max_length", default=1024)
    plain, banded = meta(1, _AUDIO_LENGTH), meta(1, channels, _AUDIO_LENGTH)
    spectrum = meta(1, frames, network.number("num_mel_bins", default=128))
    if network.rank == 2:
        return [spectrum, plain, banded]
    return [banded, plain, spectrum] if network.value("audio_channels") else [plain, banded, spectrum]


def _spectrum(network: Network) -> list[torch.Tensor]:
    names = (
        "num_mel_bins",
        "feature_size",
        "input_feat_per_channel",
        "feature_projection_input_dim",
        "input_feat_size",
    )
    bins = network.number(*names, "n_mels", "num_mel_channels", "input_dim", "mel_bins", default=80)
    positions = network.number("max_source_positions", default=0)
    frames = 2 * positions if 0 < positions <= 1500 else 32 * network.number("n_window", default=32)
    by_bins, by_frames = meta(1, bins, frames), meta(1, frames, bins)
    hop = getattr(network.module, "hop_length", 0)
    if network.takes("input_values") and hop:  # the same sound as the wave
        return [meta(1, _AUDIO_LENGTH // hop, bins)]
    square = network.number("spec_size")
    first = network.first_convolution
    if square:
        return [meta(1, 1, square * square // bins, bins), meta(1, 4, square * square // bins, bins)]
    linear = next((part for part in network.module.modules() if isinstance(part, nn.Linear)), None)
    widths = [network.number("input_size"), linear.in_features if linear is not None else 0, 128]
    others = [meta(1, frames, width) for width in widths if width]
    mel_first = network.rank == 1 and first is not None and first.in_channels == bins and positions
    return [by_bins, by_frames, *others] if mel_first else [by_frames, by_bins, *others]


def _spectrum_mask(network: Network) -> list[torch.Tensor]:
    _, rows, columns = _spectrum(network)[0].shape[-3:]
    return [torch.ones(1, n, dtype=torch.long) for n in (columns, rows)]


def _text(network: Network) -> list[torch.Tensor]:
    """Token ids with numbers, as networks look for tokens among them; then those of an image alone."""
    length = min(_TEXT_LENGTH, network.number("max_position_embeddings", default=_TEXT_LENGTH))
    plain = torch.ones(1, length, dtype=torch.long)
    if network.takes("audio_embed_sizes"):
        sound = torch.full((1, _AUDIO_TOKENS), network.number("audio_token_id", default=1))
        return [torch.cat([plain, sound, plain], dim=1)]
    token = network.number("image_token_id", "image_token_index")
    if not token or not network.takes("pixel_values"):
        return [plain]
    side = _GRID // network.number("spatial_merge_size", "merge_size", "downsample_factor", default=2)
    stated = network.number("image_seq_length", "image_seq_len", "mm_tokens_per_image", "num_image_tokens", default=256)
    counts = [n for n in (side * side, stated) if n <= _MOST_TOKENS]
    return [plain, *(torch.cat([plain, torch.full((1, n), token), plain], dim=1) for n in counts)]


def _series(network: Network, length: int, *widths: str) -> torch.Tensor:
    width = network.number(*widths, default=1)
    return meta(1, length, width) if width > 1 or "num_time_features" in widths else meta(1, length)


def _past_length(network: Network) -> int:
    lags = network.value("lags_sequence", default=[0])
    return network.number("context_length", "prediction_length", default=32) + int(max([0, *lags]))


_PAST: Final[dict[str, Rule]] = {
    "past_values": lambda network: [_series(network, _past_length(network), "input_size", "num_input_channels")],
    "past_observed_mask": lambda network: [
        torch.ones_like(_series(network, _past_length(network), "input_size", "num_input_channels"))
    ],
    "past_time_features": lambda network: [
        meta(1, _past_length(network), network.number("num_time_features")),
    ],
    "future_values": lambda network: [
        _series(network, network.number("prediction_length", default=24), "input_size", "num_input_channels")
    ],
    "future_time_features": lambda network: [
        meta(1, network.number("prediction_length", default=24), network.number("num_time_features"))
    ],
}
_EIGHT_IDS: Final = torch.ones(1, 8, dtype=torch.long)
_GRID_ROW: Final = torch.tensor([[1, _GRID, _GRID]])

RULES: Final[dict[str, Rule]] = {
    **_PAST,
    "input_ids": _text,
    "decoder_input_ids": constant(_EIGHT_IDS),
    "qformer_input_ids": constant(_EIGHT_IDS),
    "classes_input_ids": constant(_EIGHT_IDS),
    "classes_attention_mask": constant(_EIGHT_IDS),
    "classes_structure": constant(torch.ones(1, dtype=torch.long)),
    "tasks_input_ids": constant(_EIGHT_IDS),
    "tasks_attention_mask": constant(_EIGHT_IDS),
    "task_inputs": lambda network: [torch.ones(1, network.number("task_seq_len", default=77), dtype=torch.long)],
    "bbox": lambda network: [torch.zeros(1, _text(network)[0].shape[1], 4, dtype=torch.long)],
    "pixel_values": _pixels,
    "pixel_values_videos": _videos,
    "high_res_pixel_values": constant(meta(1, 3, 1024, 1024)),
    "prompt_pixel_values": _pixels,
    "prompt_masks": _pixels,
    "inference_session": sessions,
    "frame": lambda network: [meta(1, 3, *image_size(network))] if network.takes("inference_session") else [],
    "image": constant(meta(1, 3, _IMAGE_SIZE, _IMAGE_SIZE)),
    "prompt_depth": constant(meta(1, 1, _IMAGE_SIZE, _IMAGE_SIZE)),
    "hidden_states": _hidden_states,
    "latents": lambda network: [_hidden_states(network)[0], meta(1, 64, network.number("hidden_size", default=512))],
    "inputs": lambda network: [*_pixels(network)[:1], *_wave(network)[:1]],
    "inputs_embeds": lambda network: [meta(1, _TEXT_LENGTH, network.number("hidden_size", default=512))],
    "input_values": _wave,
    "padding_mask": constant(None, torch.ones(1, _AUDIO_LENGTH, dtype=torch.long)),
    "decoder_input_values": lambda network: [meta(1, 16, network.number("num_mel_bins", default=80))],
    "input_features": _spectrum,
    "audio_mel": _spectrum,
    "audio_input_features": _spectrum,
    "audio_embed_sizes": constant(torch.tensor([_AUDIO_TOKENS])),
    "audio_mel_mask": lambda network: [torch.zeros(_spectrum(network)[0].shape[:2], dtype=torch.bool)],
    "chunk_sample_lengths": constant(torch.tensor([_AUDIO_LENGTH])),
    "input_features_mask": _spectrum_mask,
    "feature_attention_mask": _spectrum_mask,
    "spectrogram": lambda network: [meta(1, 64, network.number("model_in_dim", default=80))],
    "grid_thw": constant(_GRID_ROW),
    # The last of several images may be the one that is to be made.
    "image_grid_hw": constant(_GRID_ROW[:, 1:]),
    "image_grid_thw": lambda network: [_GRID_ROW.repeat(2 if network.takes("images_per_sample") else 1, 1)],
    "merge_sizes": constant(torch.tensor([2])),
    "image_merge_sizes": constant(torch.tensor([2])),
    "spatial_shapes": constant(torch.tensor([[_GRID, _GRID]])),
    "target_sizes": constant(torch.tensor([[_GRID, _GRID]])),
    "pixel_attention_mask": lambda network: (
        [torch.ones(1, _GRID * _GRID, dtype=torch.long)] if network.takes("spatial_shapes") else []
    ),
    "patch_attention_mask": lambda network: [
        torch.ones(
            1, *(side // network.number("patch_size", default=16) for side in image_size(network)), dtype=torch.bool
        )
    ],
    "aspect_ratio_ids": constant(torch.ones(1, 1, dtype=torch.long)),
    "aspect_ratio_mask": lambda network: [
        torch.ones(1, 1, network.number("max_num_tiles", default=4), dtype=torch.long)
    ],
    "image_attention_mask": constant(torch.ones(1, _TEXT_LENGTH, 1, dtype=torch.long)),
    "mm_token_type_ids": lambda network: [None, torch.zeros_like(_text(network)[0])],
    "skip_predictor": constant(True),
    "marks": constant(_EIGHT_IDS),
    "num_options": constant(_EIGHT_IDS),
    "question_type_ids": constant(torch.zeros_like(_EIGHT_IDS)),
    "image_sizes": lambda network: [torch.tensor([list(image_size(network))])],
    "visual_feats": lambda network: [meta(1, 36, network.number("visual_feat_dim", default=2048))],
    "visual_pos": constant(meta(1, 36, 4)),
    "dataset_index": constant(torch.zeros(1, dtype=torch.long)),
}
# Parameters with a default value that are nevertheless what the network computes from.
OPTIONAL: Final = frozenset(RULES) - {"inputs_embeds", "patch_attention_mask", "latents"}
