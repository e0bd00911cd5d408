"""Reader for sharded checkpoints: a JSON index that says which file holds which tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator

from filtercrawl.api.errors import FormatError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import RandomAccessFile, Span, prefetch
from filtercrawl.api.source import Files, Reader
from filtercrawl.api.tensor import StoredTensor

INDEX_LIMIT = 64 * 1024 * 1024
# Where every shard says what it is; most of their headers are no longer.
_HEAD = 64 * 1024


class ShardedReader:
    name = "sharded"

    def can_read(self, file: RandomAccessFile) -> bool:
        if not 2 < file.size <= INDEX_LIMIT or not file.read(0, min(file.size, 64)).lstrip().startswith(b"{"):
            return False
        return b'"weight_map"' in file.read(0, file.size)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        return tuple(dict.fromkeys(read_weight_map(file).values()))

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the tensors of all shards, in the order of the index; shards may be of any format."""
        missing = read_weight_map(files.main)
        seen: set[str] = set()
        shards = tuple(dict.fromkeys(missing.values()))
        prefetch(Span(file, 0, min(_HEAD, file.size)) for file in map(files.open, shards))
        for shard in shards:
            for tensor in files.tensors(shard):
                if tensor.name in seen:
                    raise FormatError(f"{files.main.name}: {tensor.name!r} lies in more than one shard")
                seen.add(tensor.name)
                if missing.get(tensor.name) == shard:
                    del missing[tensor.name]
                yield tensor
        if missing:
            name, shard = next(iter(missing.items()))
            raise FormatError(f"{files.main.name}: {name!r} is not in {shard}, where the index puts it")


def read_weight_map(file: RandomAccessFile) -> dict[str, str]:
    """Return which shard holds which tensor; raises FormatError."""
    try:
        index = json.loads(file.read(0, file.size))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file.name}: the index is not valid JSON ({error})") from error
    weights = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(shard, str) and shard for shard in weights.values()):
        raise FormatError(f"{file.name}: weight_map is not a mapping of tensor to file")
    return weights


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    yield ShardedReader()
