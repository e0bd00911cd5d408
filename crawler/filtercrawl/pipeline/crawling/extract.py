"""From the tensors that a reader yields to layers and a ledger, with what the architecture of the network says."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import FormatError
from filtercrawl.api.reader import CheckpointContent
from filtercrawl.api.source import Source
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.validation import RowCheck
from filtercrawl.extraction.architecture import Structure, match_tensors, structure_of
from filtercrawl.extraction.classify import ClassifiedTensors, classify_tensors
from filtercrawl.extraction.effective import LayerKey
from filtercrawl.extraction.effective.plan import RecipePlan, bn_folded, plan_recipes
from filtercrawl.extraction.ledger import LedgerEntry
from filtercrawl.extraction.quantized_weights import resolve_quantized
from filtercrawl.pipeline.discovery.architectures import architecture_of
from filtercrawl.pipeline.records import REFUSED, CrawlTask

logger = logging.getLogger(__name__)

# `model-00002-of-00005.safetensors`, `pytorch_model-00002-of-00005.bin`
_SHARD: Final = re.compile(r"^(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})(?P<extension>\.\w+)$")
# `FlatParameter` of torch.distributed.fsdp and of fairscale: all parameters of a module in one vector.
_FLAT_PARAMETER: Final = re.compile(r"_?flat_param(_\d{1,6})?")
# What trainers of transformers and accelerate save beside the weights; without tensors, or with those of generators.
_TRAINING_STATE: Final = re.compile(r"^(training_args|scheduler|scaler|optimizer|rng_state|random_states)(_\d+)?\.\w+$")


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What the header of a checkpoint, and the architecture of its network, say about its tensors.

    Attributes:
        classified: The classified tensors.
        plans: Which layers the network does not convolve with as they are stored.
        problem: Why the architecture is not fully known; None if it is, or if no source builds it.
    """

    classified: ClassifiedTensors
    plans: tuple[RecipePlan, ...]
    problem: str | None

    def bn_folded(self) -> dict[LayerKey, bool]:
        """Return for each layer of which it is known whether a batch normalization is folded into it."""
        plans = {plan.key: plan for plan in self.plans}
        keys = {LayerKey(layer.tensor.name, layer.tensor.bank_index): layer for layer in self.classified.layers}
        known = {key: bn_folded(layer, plans.get(key)) for key, layer in keys.items()}
        return {key: folded for key, folded in known.items() if folded is not None}


def extract(
    name: str,
    stored: tuple[StoredTensor, ...],
    task: CrawlTask,
    sources: Mapping[str, Source],
    structure: Structure | None = None,
) -> Extraction:
    """Decide for each tensor of a checkpoint whether it is a layer, and how the network convolves with it.

    Args:
        name: Name of the file, for messages.
        stored: What the reader yields.
        task: The checkpoint.
        sources: Sources by name, of which one may build the network.
        structure: The architecture, if it is known already.

    Raises:
        FormatError: The numbers of the file are missing.
        CheckpointError: The tables cannot hold what the file states.
        UsageError: No source knows the architecture that is stated for the checkpoint.
    """
    checkpoint = task.checkpoint
    builder, built = architecture_of(sources.get(task.source), checkpoint, sources)
    tensors, problem = attach_architecture(builder, built, stored, structure)
    classified = classify_tensors(tensors, task.policy, checkpoint.prefix)
    RowCheck(MODELS).require(name, {"num_params": classified.num_params})
    refuse_without_numbers(name, classified)
    warn_of_part(name)
    plans = plan_recipes(classified.layers, tensors)
    return Extraction(classified=classified, plans=plans, problem=problem)


def reason_against_code(content: CheckpointContent, *, refuse: bool) -> str | None:
    """Return why a checkpoint fails for the code that it names, None if it does not.

    Args:
        content: What its reader found.
        refuse: Whether files that name code are not to be read.
    """
    if not content.code:
        return None
    names = f"names {', '.join(content.code)}"
    if refuse:
        return f"{names}, which loading it would run{REFUSED}; set it to false to allow the file"
    if not content.tensors:
        return f"{names}, not run, and holds no tensors; do not load it elsewhere"
    return None


def warn_of_code(name: str, code: tuple[str, ...]) -> None:
    """Log what loading a file elsewhere would run."""
    if code:
        logger.warning("%s: names %s; not run", name, ", ".join(code))


def warn_of_part(name: str) -> None:
    """Log a warning if a file is by its name only a part of a checkpoint."""
    if part := part_of_checkpoint(name):
        logger.warning("%s: is only %s; to read all parts, name %s", name, *part)


def part_of_checkpoint(name: str) -> tuple[str, str] | None:
    """Return which part of a sharded checkpoint a file is by its name, and the name of the index; None for no part."""
    shard = _SHARD.match(PurePosixPath(name).name)
    if shard is None or int(shard["parts"]) < 2:
        return None
    part = f"part {int(shard['part'])} of {int(shard['parts'])} of a checkpoint"
    return part, f"{shard['stem']}{shard['extension']}.index.json"


def attach_architecture(
    source: Source | None,
    checkpoint: Checkpoint,
    tensors: tuple[StoredTensor, ...],
    structure: Structure | None = None,
) -> tuple[tuple[StoredTensor, ...], str | None]:
    """Add to tensors what the names beside them say, and what the graph of their network proves, if it can be built.

    Args:
        source: The source of the checkpoint.
        checkpoint: The checkpoint.
        tensors: Its tensors.
        structure: Its architecture, if it is known already.

    Returns:
        The tensors, and why the architecture is not fully known, None if it is or if no source builds it.
    """
    tensors = resolve_quantized(tensors)
    if structure is None and any(len(tensor.shape) >= 3 for tensor in tensors):  # else there is no convolution
        structure = structure_of(source, checkpoint)
    if structure is None:
        return tensors, None
    matched = match_tensors(structure, tensors, checkpoint.prefix)
    return matched.tensors, structure.problem


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
    if part := part_of_checkpoint(name):
        raise FormatError(f"{name}: is {part[0]} and holds no kernels; name {part[1]} instead")
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
    if flat := [entry for entry in ledger if _FLAT_PARAMETER.fullmatch(entry.tensor.rpartition(".")[2])]:
        raise FormatError(
            f"{name}: {_count(flat, ledger)} are flat vectors of FSDP, for example {flat[0].tensor!r}, which do not "
            "tell the shapes of the weights in them; save a full state dict"
        )
    weights = [entry for entry in ledger if entry.tensor.endswith("weight")] or ledger
    if all(math.prod(entry.shape) == 0 for entry in weights):
        raise FormatError(
            f"{name}: the weights are empty ({_count(weights, ledger)}); if they are partitioned (ZeRO stage 3, FSDP), "
            "save a full state dict"
        )


def _count(entries: Sequence[LedgerEntry], ledger: Sequence[LedgerEntry]) -> str:
    return f"{len(entries):,} of {len(ledger):,} tensors"
