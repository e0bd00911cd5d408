"""Tell files whose numbers are missing from files that hold no kernels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.extraction.classify import ClassifiedTensors
from filtercrawl.extraction.ledger import LedgerEntry

# `model-00002-of-00005.safetensors`, `pytorch_model-00002-of-00005.bin`
_SHARD: Final = re.compile(r"^(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})(?P<extension>\.\w+)$")
# What trainers of transformers and accelerate save beside the weights; without tensors, or with those of generators.
_TRAINING_STATE: Final = re.compile(r"^(training_args|scheduler|scaler|optimizer|rng_state|random_states)(_\d+)?\.\w+$")


def refuse_without_numbers(name: str, classified: ClassifiedTensors) -> None:
    """Raise FormatError for a file without kernels whose tensors cannot be read, are empty, or are elsewhere.

    A checkpoint without kernels is a result; one whose numbers are missing is not.

    Args:
        name: Name of the file.
        classified: Its tensors.

    Raises:
        FormatError: The message says what the file is, and what to do.
    """
    if classified.layers:
        return
    ledger = classified.ledger
    if shard := _SHARD.match(PurePosixPath(name).name):
        part, parts = int(shard["part"]), int(shard["parts"])
        index = f"{shard['stem']}{shard['extension']}.index.json"
        if parts > 1:
            raise FormatError(
                f"{name}: is part {part} of {parts} of a checkpoint and holds no kernels; name {index} instead"
            )
    if not ledger:
        if not _TRAINING_STATE.match(PurePosixPath(name).name):
            raise FormatError(f"{name}: holds no tensors; save the state dict of the network again")
        return
    unreadable = [entry for entry in ledger if entry.reason == "unreadable"]
    if len(unreadable) == len(ledger) or any(len(entry.shape) >= 3 for entry in unreadable):
        raise FormatError(
            f"{name}: {_count(unreadable, ledger)} cannot be read, for example {unreadable[0].tensor!r} of type "
            f"{unreadable[0].dtype}: the file does not hold its numbers, or the type is not known"
        )
    weights = [entry for entry in ledger if entry.tensor.endswith("weight")] or ledger
    if all(math.prod(entry.shape) == 0 for entry in weights):
        raise FormatError(
            f"{name}: the weights are empty ({_count(weights, ledger)}); if they are partitioned (ZeRO stage 3, FSDP), "
            "save a full state dict"
        )


def _count(entries: Sequence[LedgerEntry], ledger: Sequence[LedgerEntry]) -> str:
    return f"{len(entries):,} of {len(ledger):,} tensors"
