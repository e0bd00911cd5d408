"""What the networks of diffusers take: latents, timesteps, text embeddings and further conditions."""

from __future__ import annotations

from typing import Any, Final

import torch

from filtercrawl_plugins.sources.hub.example_inputs import Network, Rule, constant, meta

_TEXT_LENGTH: Final = 77
_LONG_TEXT: Final = 256
_SIDE: Final = 64
_FRAMES: Final = 9
_AUDIO_LENGTH: Final = 16_384
_TEXT_WIDTHS: Final = (
    "caption_channels", "encoder_hid_dim", "text_embed_dim", "text_dim", "joint_attention_dim", "text_states_dim",
    "caption_projection_dim", "cross_attention_dim", "text_embed_2_dim", "caption_feat_dim", "text_in_dim",
    "condition_dim", "cond_token_dim",
)  # fmt: skip


def _channels(network: Network) -> int:
    first = network.first_convolution
    own = first.in_channels if first is not None and network.rank > 1 else 4
    return network.number("in_channels", "input_channels", "audio_channels", "io_channels", default=own)


def _side(network: Network) -> int:
    side = network.number("sample_size", "sample_height", default=_SIDE)
    return side if 8 <= side <= 256 else _SIDE


def _sample(network: Network) -> list[torch.Tensor]:
    """What an autoencoder or a U-Net takes, as images, videos with the axis of time third or second, or sound."""
    channels, side = _channels(network), _side(network)
    if network.rank == 1:
        return [*(meta(1, n, _AUDIO_LENGTH) for n in (channels, 2, 1)), meta(1, _AUDIO_LENGTH)]
    image, video = meta(1, channels, side, side), meta(1, channels, _FRAMES, side, side)
    colors = [meta(1, 3, _FRAMES, side, side), meta(1, 3, side, side)]
    if network.rank == 3:
        clips = meta(1, channels, 2 * network.number("clip_length", default=_FRAMES), side, side)
        return [video, meta(1, channels, 17, 128, 128), image, clips, *colors]
    frame = meta(1, channels, 1, side, side)
    # Where tiles have one size, a smaller video has none of them.
    size = getattr(network.module, "kernel", None)
    tile = [meta(1, channels, *size)] if isinstance(size, tuple) else []
    return [*tile, image, video, meta(1, 8, channels, side, side), meta(1, channels, 128, 64), frame, *colors]


def _hidden_states(network: Network) -> list[torch.Tensor]:
    """Latents as images or videos, or as a sequence of vectors."""
    channels = network.number("audio_acoustic_hidden_dim", default=_channels(network))
    if network.takes("latents"):
        channels = network.number("latent_channels", default=channels)
    # States of several layers, one after the other.
    channels = network.number("condition_hidden_dim") * network.number("num_condition_layers") or channels
    sequence = meta(1, _SIDE, channels)
    if network.rank == 1:
        return [sequence, meta(1, channels, _SIDE)]
    if network.rank == 0:
        return [sequence, meta(1, channels, 32, 32)]
    if network.takes("shape_list"):  # patches, and how many of them along each axis
        return [meta(1, _SIDE, channels, *network.value("patch_size", default=[1, 2, 2]))]
    side = min(_side(network), 64)
    height, width = network.number("sample_height", default=side), network.number("sample_width", default=side)
    rate = network.number("temporal_compression_ratio", default=1)
    n_frames = network.number("video_length") or (network.number("sample_frames", default=_FRAMES) - 1) // rate + 1
    image, video = meta(1, channels, height, width), meta(1, channels, n_frames, height, width)
    frames = meta(1, n_frames, channels, height, width)
    return [video, frames, image, sequence] if network.rank == 3 else [image, frames, video, sequence]


def _context(network: Network) -> list[torch.Tensor]:
    widths = [network.number(name) for name in _TEXT_WIDTHS]
    widths += [
        part.in_features
        for name, part in network.module.named_modules()
        if name.endswith(("attn2.to_k", "attn2.add_k_proj", "condition_embedder")) and isinstance(part, torch.nn.Linear)
    ][:1]
    widths = [width for width in dict.fromkeys(widths) if width] or [768]
    length = network.number("max_text_seq_length", default=_TEXT_LENGTH)
    # A network of images that takes a video takes the text once for each frame.
    by_frame = [meta(_FRAMES, _TEXT_LENGTH, widths[0])] if network.rank == 2 else []
    # A network of sound may take a vector for each step of time.
    by_step = [meta(1, _SIDE, widths[0])] if network.rank == 1 else []
    return [meta(1, length, width) for width in widths] + by_frame + by_step


def _condition(network: Network) -> list[Any]:
    """Condition of a control network: an image that is halved once for each stage of its embedding but the last."""
    if not network.takes("sample"):
        return _hidden_states(network)
    channels = network.number("conditioning_channels", default=3)
    if network.takes("conditioning_mask"):
        return [meta(1, channels, _FRAMES, _side(network), _side(network))]
    stages = network.value("conditioning_embedding_out_channels", default=[0] * 4)
    side = min(_side(network) << (len(stages) - 1), 4 * 512)
    found = [meta(1, channels, side, side), meta(1, channels, _FRAMES, side, side)]
    return [[condition] for condition in found] if network.takes("control_type_idx") else found


def _vector(*names: str, default: int) -> Rule:
    return lambda network: [meta(1, network.number(*names, default=default))]


def _image_embeds(network: Network) -> list[torch.Tensor | None]:
    width = network.number("image_embed_dim", "image_proj_dim")
    if width and network.config.get("has_image_proj") is not False:
        return [meta(1, 257, width)]
    return [None] if network.requires("image_embeds") else []


def _when_set(name: str, rule: Rule) -> Rule:
    """Give a value only where the config asks for it."""
    return lambda network: rule(network) if network.config.get(name) else []


def _added(network: Network) -> list[dict[str, torch.Tensor]]:
    pooled = network.number("projection_class_embeddings_input_dim", default=2816)
    ids = network.number("addition_time_embed_dim", default=256)
    size = {"resolution": meta(1, 2), "aspect_ratio": meta(1, 1)}
    texts = {"text_embeds": meta(1, max(pooled - 6 * ids, 1)), "time_ids": meta(1, 6)}
    images = {"image_embeds": meta(1, network.number("encoder_hid_dim", default=768))}
    return [texts | images, size]


_MASK: Final = torch.ones(1, _TEXT_LENGTH, dtype=torch.bool)
_TIME: Final = torch.ones(1)
# Of text, a time and an image in patches of two by two.
_SEQUENCE: Final = _TEXT_LENGTH + 1 + (_SIDE // 2) ** 2
_INDEX: Final = torch.ones(1, dtype=torch.long)
# Of a video there may be one for each frame.
_TIMES: Final = constant(_TIME, torch.ones(1, _FRAMES), torch.ones(1, 1, _FRAMES))

RULES: Final[dict[str, Rule]] = {
    "sample": _sample,
    "hidden_states": _hidden_states,
    "latents": _hidden_states,
    "x": _sample,
    "mel": lambda network: [meta(1, network.first_convolution.in_channels if network.first_convolution else 80, _SIDE)],
    "timestep": _TIMES,
    "timestep_r": lambda network: [] if network.config.get("use_meanflow") is False else [_TIME],
    "r_timestep": _TIMES,
    "timestep_ratio": constant(_TIME),
    "scale": constant(2),
    "fps": constant(_INDEX),
    "guidance": _when_set("guidance_embeds", constant(_TIME)),
    "encoder_hidden_states": _context,
    "encoder_attention_mask": lambda network: [_MASK] if network.requires("encoder_attention_mask") else [None, _MASK],
    "encoder_hidden_states_image": _when_set(
        "image_dim", lambda network: [meta(1, 257, network.number("image_dim", default=1280))]
    ),
    "encoder_hidden_states_2": _when_set(
        "text_embed_2_dim", lambda network: [meta(1, _TEXT_LENGTH, network.number("text_embed_2_dim"))]
    ),
    "encoder_attention_mask_2": _when_set("text_embed_2_dim", constant(_MASK)),
    "image_embeds": _image_embeds,
    "pooled_projections": _vector("pooled_projection_dim", default=768),
    "global_hidden_states": lambda network: [
        meta(1, *shape)
        for shape in (
            (1, network.number("global_states_input_dim", default=1536)),
            (network.number("global_cond_dim", default=768),),
            (1, 768),
        )
    ],
    "context_latents": lambda network: [
        meta(1, _SIDE, max(network.number("in_channels") - network.number("audio_acoustic_hidden_dim"), 1))
    ],
    "text_bth": lambda network: [meta(1, _TEXT_LENGTH, network.number("text_in_dim", default=2560))],
    "text_lens": constant(torch.tensor([_TEXT_LENGTH])),
    "mask": lambda network: [meta(1, 1, *_sample(network)[0].shape[2:])] if network.rank == 2 else [],
    "indices_latents": constant(torch.arange(_FRAMES)),
    "pose_hidden_states": lambda network: [
        meta(1, network.number("latent_channels", "out_channels", default=16), _FRAMES - 1, 64, 64)
    ],
    "face_pixel_values": constant(meta(1, 3, 4 * (_FRAMES - 2) + 1, 512, 512)),
    "class_labels": lambda network: [_INDEX] if network.number("num_class_embeds", "num_embeds_ada_norm") else [],
    "controlnet_cond": _condition,
    "control_type": _vector("num_control_type", default=6),
    "control_type_idx": constant([0]),
    "text_embedding_mask": constant(_MASK),
    "encoder_hidden_states_t5": _when_set(
        "cross_attention_dim_t5",
        lambda network: [meta(1, _LONG_TEXT, network.number("cross_attention_dim_t5"))],
    ),
    "text_embedding_mask_t5": constant(torch.ones(1, _LONG_TEXT, dtype=torch.bool)),
    "image_meta_size": constant(meta(1, 6)),
    "style": constant(torch.zeros(1, dtype=torch.long)),
    "conditioning_mask": lambda network: [meta(1, 1, _FRAMES, _side(network), _side(network))],
    "shape_list": constant([[(1, 8, _SIDE // 8)]]),
    "chunk_partition": constant([1, *[2] * (_FRAMES // 2)]),
    "control_hidden_states": lambda network: [
        meta(1, network.number("vace_in_channels", default=96), *_hidden_states(network)[0].shape[2:])
    ],
    "added_cond_kwargs": _added,
    "added_time_ids": constant(meta(1, 3)),
    "image_latents": _sample,
    "image_embeddings": lambda network: [meta(1, network.number("cross_attention_dim", default=1024))],
    "clip_text_pooled": lambda network: [meta(1, 1, network.number("clip_text_pooled_in_channels", default=1280))],
    "input_ids": lambda network: [
        torch.ones(1, *((_TEXT_LENGTH,) if network.takes("input_img_latents") else (32, 32)), dtype=torch.long)
    ],
    "input_img_latents": constant([]),
    "input_image_sizes": constant({}),
    "position_ids": constant(torch.arange(_SEQUENCE)[None]),
    "attention_mask": lambda network: (
        [torch.ones(1, _SEQUENCE, _SEQUENCE, dtype=torch.long)] if network.takes("input_img_latents") else []
    ),
    "pooled_text_emb": lambda network: [meta(1, network.number("cond_embed_dim", default=768))],
    "micro_conds": constant(meta(1, 5)),
}
# Parameters with a default value that are nevertheless what the network computes from.
OPTIONAL: Final = frozenset(RULES)
