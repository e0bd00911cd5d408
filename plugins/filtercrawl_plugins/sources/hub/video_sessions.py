"""Sessions that the video networks of transformers take, with an object to track."""

from __future__ import annotations

from typing import Any, Final

import torch

from filtercrawl_plugins.sources.hub.example_inputs import Network

_SIDE: Final = 64
_OBJECT: Final = 1


def sessions(network: Network) -> list[Any]:
    """Return a session without frames that points at an object in the first one, as the network's processor does.

    Returns:
        One session of the class that `forward` is annotated with; none if that class takes no points.
    """
    kind = network.parameters["inference_session"].annotation
    if not hasattr(kind, "add_point_inputs"):
        return []
    session = kind(video_height=_SIDE, video_width=_SIDE, dtype=torch.float32)
    points = {"point_coords": torch.full((1, 1, 1, 2), 8.0), "point_labels": torch.ones(1, 1, 1, dtype=torch.int32)}
    session.add_point_inputs(session.obj_id_to_idx(_OBJECT), 0, points)
    session.obj_with_new_inputs = [_OBJECT]
    return [session]
