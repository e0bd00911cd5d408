"""Reader of sharded checkpoints: a JSON index whose `weight_map` maps each tensor to the file that contains it.

Format: `save_torch_state_dict` of huggingface_hub, `model.safetensors.index.json`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import RandomAccessFile, Span, prefetch
from filtercrawl.api.reader import CompanionCheck, Files, Reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.formats.json_text import parse_json

MAX_INDEX_BYTES = 64 * 1024 * 1024
# Files of one checkpoint; the largest have some hundred.
MAX_SHARDS = 16_384
# Bytes prefetched of each shard: most headers are not longer.
_HEAD_BYTES = 64 * 1024


class ShardedReader:
    """Reads an index and, through other readers, its shards."""

    name = "sharded"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a JSON object with the key `weight_map`."""
        if not 2 < file.size <= MAX_INDEX_BYTES or not file.read(0, min(file.size, 64)).lstrip().startswith(b"{"):
            return False
        return b'"weight_map"' in file.read(0, file.size)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Return the shards, each once, in the order of the index; raises CheckpointError."""
        return tuple(dict.fromkeys(read_weight_map(file).values()))

    def companion_check(self, file: RandomAccessFile) -> CompanionCheck:
        """Return whether a companion holds all tensors that the index says are in it; raises CheckpointError."""
        expected: defaultdict[str, set[str]] = defaultdict(set)
        for name, shard in read_weight_map(file).items():
            expected[str(PurePosixPath(shard))].add(name)

        def is_part(path: str, tensors: Sequence[StoredTensor]) -> bool:
            return expected[str(PurePosixPath(path))] <= {tensor.name for tensor in tensors}

        return is_part

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the tensors of all shards in the order of the index; shards may be of any format.

        Raises:
            CheckpointError: A shard cannot be read, a tensor is in two shards, or one is not in its shard.
        """
        missing = read_weight_map(files.main)
        seen: set[str] = set()
        shards = tuple(dict.fromkeys(missing.values()))
        prefetch(Span(file, 0, min(_HEAD_BYTES, file.size)) for file in map(files.open, shards))
        for shard in shards:
            for tensor in files.tensors(shard):
                if tensor.name in seen:
                    raise FormatError(f"{files.main.name}: {tensor.name!r} is in more than one shard")
                seen.add(tensor.name)
                if missing.get(tensor.name) == shard:
                    del missing[tensor.name]
                yield tensor
        if missing:
            name, shard = next(iter(missing.items()))
            raise FormatError(f"{files.main.name}: {name!r} is not in {shard!r}, as the index says; fetch both again")


def read_weight_map(file: RandomAccessFile) -> dict[str, str]:
    """Return the `weight_map` of an index: tensor name -> path of its shard; raises CheckpointError."""
    index = parse_json(file.read(0, file.size), f"{file.name}: the index")
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) and shard for shard in weight_map.values()):
        raise FormatError(f"{file.name}: weight_map is not a mapping from tensor names to file names")
    if (count := len(set(weight_map.values()))) > MAX_SHARDS:
        raise UnsafeFileError(f"{file.name}: weight_map names {count:,} files, at most {MAX_SHARDS:,} are supported")
    return weight_map


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the reader of this plugin."""
    yield ShardedReader()
