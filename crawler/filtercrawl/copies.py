"""Raw weights beside their moving average: which tensors are the raw copies."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from filtercrawl.names import unwrap
from filtercrawl.tensor import StoredTensor

_AVERAGE: Final = re.compile(r"(^|_)(ema|swa)(_|$)|^averaged?_model$", re.IGNORECASE)
# A set of averages counts as a copy of the weights beside it when this share of it has a partner.
_MATCHED: Final = 0.9


def raw_copies(tensors: Sequence[StoredTensor]) -> frozenset[str]:
    """Return the names of the tensors whose moving average lies in the same file.

    A set of averages is a container or a first name component with the word `ema` (or `swa`) in it: `params_ema`,
    `state_dict_ema`, `model_ema.`. Its partner has the same name below the container and the same shape; some
    trainers drop the dots from the names of averages, so names are compared without them.
    """
    averages: dict[tuple[str, ...], list[tuple[str, StoredTensor]]] = defaultdict(list)
    raw: dict[tuple[str, tuple[int, ...]], list[str]] = defaultdict(list)
    for tensor in tensors:
        path = (*tensor.root, *unwrap(tensor.key).split("."))
        mark = next((i for i, part in enumerate(path[: len(tensor.root) + 1]) if _AVERAGE.search(part)), None)
        if mark is None or mark == len(path) - 1:
            for i in range(min(len(tensor.root) + 2, len(path))):
                raw[_joined(path[i:]), tensor.shape].append(tensor.name)
        else:
            averages[path[: mark + 1]].append((_joined(path[mark + 1 :]), tensor))
    found: set[str] = set()
    for members in averages.values():
        partners = [raw.get((tail, tensor.shape), []) for tail, tensor in members]
        if sum(map(bool, partners)) >= _MATCHED * len(members):
            found.update(name for names in partners for name in names)
    return frozenset(found)


def _joined(path: Sequence[str]) -> str:
    return "".join(unwrap(".".join(path)).split("."))
