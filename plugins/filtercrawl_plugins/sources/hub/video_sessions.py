"""Sessions that the video networks of transformers take: an object to track, or a text that says what to look for."""

from __future__ import annotations

from typing import Any, Final

import torch

from filtercrawl_plugins.sources.hub.example_inputs import Network

_SIDE: Final = 64
_TEXT_LENGTH: Final = 32
_OBJECT: Final = 1


def sessions(network: Network) -> list[Any]:
    """Return a session without frames of the class that `forward` is annotated with; none if there is no such class."""
    kind = network.parameters["inference_session"].annotation
    if not hasattr(kind, "add_point_inputs"):
        return []
    session = kind(video_height=_SIDE, video_width=_SIDE, dtype=torch.float32)
    if hasattr(session, "prompts"):
        _add_text(session)
    else:
        _add_object(session)
    return [session]


def _add_object(session: Any) -> None:
    """Point at an object in the first frame, as the processor of the network does."""
    index = session.obj_id_to_idx(_OBJECT)
    points = {"point_coords": torch.full((1, 1, 1, 2), 8.0), "point_labels": torch.ones(1, 1, 1, dtype=torch.int32)}
    session.add_point_inputs(index, 0, points)
    session.obj_with_new_inputs = [_OBJECT]


def _add_text(session: Any) -> None:
    """Ask for what a text names, as the processor of the network does."""
    prompt = session.add_prompt("object")
    session.prompt_input_ids[prompt] = torch.ones(1, _TEXT_LENGTH, dtype=torch.long)
    session.prompt_attention_masks[prompt] = torch.ones(1, _TEXT_LENGTH, dtype=torch.long)
