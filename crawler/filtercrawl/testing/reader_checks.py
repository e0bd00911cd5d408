"""Checks of readers: which files they accept, and which tensors they yield."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from filtercrawl.api.errors import CheckpointError, describe_error
from filtercrawl.api.reader import Reader, SupportsSuffixes, SupportsTrainingState, find_reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE
from filtercrawl.api.vocabulary import REASONS
from filtercrawl.testing import file_damage, sample_values
from filtercrawl.testing.finding import Violation
from filtercrawl.testing.reader_sample import ExpectedTensor, ReaderSample, RecordingFile, SampleFiles
from filtercrawl.testing.sample_weights import sample_weights

UNRELATED_FILES: Final = {
    "an empty file": b"",
    "one byte": b"\0",
    "zeros": bytes(4096),
    "text": b"This is no checkpoint.\n" * 50,
    "JSON": b'{"weight_map": 3}',
    "a zip": b"PK\x03\x04" + bytes(200),
    "a pickle": b"\x80\x02}q\0.",
    "safetensors": sample_weights(),
}
# `can_read` is called for every file of every source.
_MAX_BYTES_READ: Final = 64 * 1024
_SAMPLE: Final = "yield `filtercrawl.testing.ReaderSample`: the files and the tensors that they hold"


def claims(reader: Reader) -> Iterator[Violation]:
    """A reader declines other content without an error, by reading little."""
    for suffix in reader.suffixes if isinstance(reader, SupportsSuffixes) else ():
        if not isinstance(suffix, str) or not re.fullmatch(r"\.[^/A-Z]+", suffix):
            yield (
                f"{reader.name}: the suffix {suffix!r} is no ending of file names in lower case",
                "write it with its dot, as in `suffixes = ('.acme',)`",
            )
    for what, data in UNRELATED_FILES.items():
        file = RecordingFile(data)
        try:
            claimed = reader.can_read(file)
        except Exception as error:  # noqa: BLE001 - a plugin's reader may raise anything
            yield (
                f"{reader.name}: `can_read` raises {describe_error(error)} for {what}",
                "look only at the length and the first bytes, and return False for any other format",
            )
            continue
        if claimed is not False and what != "safetensors":
            yield (
                f"{reader.name}: `can_read` returns {claimed!r} for {what}",
                "recognize what only this format has: a magic number, a header that parses",
            )
    large = RecordingFile(bytes(8 * _MAX_BYTES_READ))
    try:
        reader.can_read(large)
    except Exception:  # noqa: BLE001 - reported above
        return
    if large.bytes_read > _MAX_BYTES_READ:
        yield (
            f"{reader.name}: `can_read` reads {large.bytes_read} bytes of a file in another format",
            "decide by the first bytes: it is called for every file",
        )


def has_sample(reader: Reader, samples: Sequence[Any], own: Sequence[Reader]) -> bool:
    """Return whether a reader can be checked: not all samples are of other readers of its plugin."""
    return any(not isinstance(sample, ReaderSample) or not _is_of_another(reader, sample, own) for sample in samples)


def _is_of_another(reader: Reader, sample: ReaderSample, own: Sequence[Reader]) -> bool:
    try:
        taken = find_reader(own, SampleFiles(sample.files, reader).main)
    except Exception:  # noqa: BLE001 - the check `reader-claims` reports it
        return False
    return taken is not None and taken.name != reader.name


def reads(
    reader: Reader, samples: Sequence[Any], own: Sequence[Reader], installed: Sequence[Reader]
) -> Iterator[Violation]:
    """It yields what the plugin's `samples()` state, bit for bit and no tensor left out.

    Args:
        reader: The reader.
        samples: What the plugin's `samples()` yields.
        own: All readers of the plugin.
        installed: The readers that may take a file before it.
    """
    for number, sample in enumerate(samples):
        if not isinstance(sample, ReaderSample):
            yield _wrong(reader, f"sample {number} is {type(sample).__name__}", _SAMPLE)
            continue
        if not sample.files:
            yield _wrong(reader, f"sample {number} has no files", _SAMPLE)
            continue
        files = SampleFiles(sample.files, reader)
        if _is_of_another(reader, sample, own):
            continue
        if not reader.can_read(files.main):
            yield _wrong(
                reader, f"sample {number} is not recognized by `can_read`", "return True for every file that it reads"
            )
            continue
        taken = find_reader(installed, files.main)
        if taken is not None and taken.name != reader.name:
            yield _wrong(reader, f"sample {number} goes to the reader {taken.name}", "give the format a magic number")
        for what, todo in _content(reader, sample):
            yield _wrong(reader, f"sample {number}: {what}", todo)
        yield from _broken(reader, sample)


def _content(reader: Reader, sample: ReaderSample) -> Iterator[Violation]:
    files, expected = SampleFiles(sample.files, reader), dict(sample.tensors)
    yield from sample_values.sample_faults(expected)
    others = list(sample.files)[1:]
    if left := [path for path in others if path not in reader.companion_paths(files.main)]:
        yield (
            f"`companion_paths` does not name {left[0]!r}",
            "name every file that the main one needs: no other is fetched",
        )
    try:
        tensors = list(reader.tensors(files))
    except Exception as error:  # noqa: BLE001 - a plugin's reader may raise anything
        yield f"raises {describe_error(error)}", "read your own samples"
        return
    yield from _tensors(tensors)
    if not all(isinstance(tensor, StoredTensor) for tensor in tensors):
        return
    yield from sample_values.compare({tensor.name: tensor for tensor in tensors}, expected)
    if isinstance(reader, SupportsTrainingState):
        found = reader.read_content(SampleFiles(sample.files, reader))
        if found.training != sample.training:
            yield (
                f"`read_content` finds the training state {found.training}, and the sample {sample.training}",
                "state what the file states, and None where it states nothing",
            )
        if [tensor.name for tensor in found.tensors] != [tensor.name for tensor in tensors]:
            yield "`read_content` has other tensors than `tensors`", "let `tensors` yield those of `read_content`"


def reads_little(reader: Reader, samples: Sequence[Any]) -> Iterator[Violation]:
    """It reads headers, and no numbers before they are asked for."""
    largest = 0
    for number, sample in enumerate(samples):
        if not isinstance(sample, ReaderSample) or not sample.files:
            continue
        files = SampleFiles(sample.files, reader)
        if not reader.can_read(files.main):
            continue
        numbers = sum(_stored_bytes(tensor) for tensor in sample.tensors.values())
        largest = max(largest, numbers)
        for _ in reader.tensors(files):
            pass
        if files.bytes_read > max(files.size - numbers, 0) + _MAX_BYTES_READ:
            yield _wrong(
                reader,
                f"`tensors` reads {files.bytes_read} of the {files.size} bytes of sample {number}, of which {numbers} "
                "are numbers",
                "read headers only, and say by `TensorLocation` where the numbers are: files have gigabytes",
            )
    if largest <= 2 * _MAX_BYTES_READ:
        yield _wrong(
            reader,
            f"no sample has more than {2 * _MAX_BYTES_READ} bytes of numbers, so that nothing shows what is read",
            "add a larger sample, for example with a layer of [64, 64, 3, 3] in float32",
        )


def _stored_bytes(tensor: ExpectedTensor) -> int:
    return 0 if tensor.values is None else np.asarray(tensor.values).size * ITEMSIZE.get(tensor.stored_dtype, 0)


def _tensors(tensors: list[Any]) -> Iterator[Violation]:
    seen: set[str] = set()
    for tensor in tensors:
        if not isinstance(tensor, StoredTensor):
            yield f"`tensors` yields {type(tensor).__name__}", "yield filtercrawl.api.StoredTensor"
            return
        if tensor.name in seen:
            yield f"two tensors are named {tensor.name!r}", "make names unique: they identify rows of the ledger"
        seen.add(tensor.name)
        if tensor.dtype not in ITEMSIZE:
            yield f"{tensor.name}: the dtype {tensor.dtype!r} is unknown", "use torch's names, as float32"
        if tensor.location is None and tensor.reason is None and tensor.weight is None:
            yield f"{tensor.name}: neither a location nor a reason", "state why its values cannot be read"
        if tensor.reason is not None and tensor.reason not in REASONS:
            yield (
                f"{tensor.name}: the reason {tensor.reason!r} is not in the vocabulary",
                f"use one of {', '.join(REASONS)}",
            )


def _broken(reader: Reader, sample: ReaderSample) -> Iterator[Violation]:
    """A truncated or damaged file must not end in an error of Python; of each kind, the first such error is yielded."""
    main, data = next(iter(sample.files.items()))
    lengths = sorted({len(data) // 4, len(data) // 2, len(data) - 1})
    cut = ((f"cut to {length} bytes", data[:length]) for length in lengths)
    for versions in (cut, file_damage.damaged(data)):
        for what, broken in versions:
            if (error := _error_of_python(reader, SampleFiles({**sample.files, main: broken}, reader))) is not None:
                yield _wrong(
                    reader, f"a sample {what} raises {describe_error(error)}",
                    "check what the file states before it is used, and raise FormatError or TruncatedError with what "
                    "is wrong and where",
                )  # fmt: skip
                break


def _error_of_python(reader: Reader, files: SampleFiles) -> Exception | None:
    """Read a file as a sync does, of each tensor one number; return the error that is no CheckpointError."""
    try:
        if reader.can_read(files.main):
            reader.companion_paths(files.main)
            for tensor in reader.tensors(files):
                if tensor.location is not None:
                    tensor.location.read(tuple((0, min(1, n)) for n in tensor.location.shape))
    except CheckpointError:
        return None
    except Exception as error:  # noqa: BLE001 - a plugin's reader may raise anything
        return error
    return None


def _wrong(reader: Reader, what: str, what_to_do: str) -> Violation:
    return (f"{reader.name}: {what}", what_to_do)
