"""Readers for the conformance kit: a right one, and wrong ones that look right."""

from __future__ import annotations

from dataclasses import dataclass

GOOD_READER = '''
"""The format `odd`: a JSON header of tensors behind a magic word, then their numbers in the order of Keras."""

import json, math

import numpy as np

from filtercrawl.api import (
    CheckpointError, Convolution, FormatError, Layout, StoredTensor, TensorLocation, arrange, hookimpl,
)
from filtercrawl.testing import ExpectedTensor, ReaderSample

MAGIC = b"odd!"
START = len(MAGIC) + 4


class Odd:
    name = "odd"

    def can_read(self, file):
        return file.size >= START and file.read(0, len(MAGIC)) == MAGIC

    def companion_paths(self, file):
        return ()

    def tensors(self, files):
        file = files.main
        length = int.from_bytes(file.read(len(MAGIC), 4), "little")
        header = file.read(START, length)
        try:
            rows = json.loads(header)
            for row in rows:
                yield self.tensor(file, START + length, row)
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError(f"{file.name}: its header cannot be read ({error!r})") from error

    def tensor(self, file, start, row):
        shape, name, dtype = tuple(row["shape"]), row["name"], row["dtype"]
        location = TensorLocation(file=file, offset=start + row["offset"], dtype=dtype, shape=shape)
        plain = StoredTensor(name=name, key=name, shape=shape, dtype=dtype, location=location)
        if len(shape) < 3:
            return plain
        facts = Convolution(
            op="conv2d", groups=row["groups"], stride=tuple(row["stride"]), source="plugin"
        )
        kernel = StoredTensor(name=name, key=name, shape=shape, dtype=dtype, location=location, convolution=facts)
        return arrange(kernel, Layout.KIO)


TENSORS = {
    "stem/kernel": ((3, 5, 4, 8), "float32", 1, (2, 2)),
    "stem/bias": ((8,), "float32", 1, ()),
    "deep/kernel": ((3, 3, 1, 6), "float16", 6, (1, 1)),
    "wide/kernel": ((3, 3, 72, 64), "float32", 1, (1, 1)),
    "steps": ((), "int64", 1, ()),
}


def samples():
    header, body, held = [], b"", {}
    for seed, (name, (shape, dtype, groups, stride)) in enumerate(TENSORS.items()):
        values = np.random.default_rng(seed).normal(size=shape).astype(dtype)
        header.append({"name": name, "shape": shape, "dtype": dtype, "offset": len(body), "groups": groups, "stride": stride})
        body += values.tobytes()
        kernel = len(shape) == 4
        held[name] = ExpectedTensor(
            values=values.transpose(3, 2, 0, 1) if kernel else values,
            layout="kio" if kernel else None,
            convolution=Convolution(op="conv2d", groups=groups, stride=stride, source="plugin") if kernel else None,
        )
    text = json.dumps(header).encode()
    yield ReaderSample(files={"net.odd": MAGIC + len(text).to_bytes(4, "little") + text + body}, tensors=held)


@hookimpl
def filtercrawl_readers():
    yield Odd()
'''


@dataclass(frozen=True, kw_only=True)
class WrongReader:
    """A change of the good reader, and what is said of it.

    Attributes:
        changes: Pairs of a text and what replaces it.
        what: A part of the finding.
        todo: A part of the advice.
        check: The check that finds it.
    """

    changes: tuple[tuple[str, str], ...]
    what: str
    todo: str
    check: str = "reader-tensors"

    def text(self) -> str:
        text = GOOD_READER
        for old, new in self.changes:
            assert old in text, old
            text = text.replace(old, new)
        return text


_ARRANGED = "return arrange(kernel, Layout.KIO)"
_NOT_ARRANGED = (
    "from dataclasses import replace\n"
    "        order = (3, 2, 0, 1)\n"
    "        turned = tuple(shape[axis] for axis in order)\n"
    "        view = TensorLocation(file=file, offset=location.offset, dtype=dtype, shape=turned)\n"
    "        return replace(kernel, shape=turned, location=view, layout='kio')"
)
WRONG_READERS = {
    "the order of the file": WrongReader(
        changes=((_ARRANGED, "return kernel"),), what="stem/kernel: has the layout None, and the sample 'kio'", todo="arrange"
    ),
    "only the shape is transposed": WrongReader(
        changes=((_ARRANGED, _NOT_ARRANGED),), what="480 numbers are wrong", todo="`filtercrawl.api.arrange"
    ),
    "an offset of four bytes": WrongReader(
        changes=(('start + row["offset"]', 'start + row["offset"] - 4'),), what="numbers are wrong", todo="starts 4 bytes"
    ),
    "another dtype": WrongReader(
        changes=(('row["dtype"]\n', 'row["dtype"].replace("float16", "bfloat16")\n'),),
        what="deep/kernel: has the dtype 'bfloat16', and the sample 'float16'", todo="the dtype that the file states",
    ),
    "other groups": WrongReader(
        changes=(('groups=row["groups"], stride=tuple', "groups=1, stride=tuple"),),
        what="deep/kernel: its convolution has groups=1, and the sample 6", todo="take it from the file",
    ),
    "another stride": WrongReader(
        changes=(('stride=tuple(row["stride"])', "stride=(1, 1)"),),
        what="stem/kernel: its convolution has stride=(1, 1), and the sample (2, 2)", todo="take it from the file",
    ),
    "a tensor left out": WrongReader(
        changes=(("            for row in rows:\n", "            for row in rows:\n                if not row['shape']: continue\n"),),
        what="the sample has 'steps', and `tensors` does not yield it", todo="yield every tensor",
    ),
    "short names": WrongReader(
        changes=(('row["name"], row["dtype"]', 'row["name"].split("/")[0] + row["name"][-5:], row["dtype"]'),),
        what="the sample has 'deep/kernel', and `tensors` does not yield it", todo="by its full name",
    ),
    "the whole file read": WrongReader(
        changes=(("        file = files.main\n", "        file = files.main\n        file.read(0, file.size)\n"),),
        what="`tensors` reads 168", todo="read headers only", check="reader-bytes",
    ),
    "numbers as they were read, in another file": WrongReader(
        changes=(
            ("        file = files.main\n",
             "        from filtercrawl.api.range_file import MemoryFile\n"
             "        file = MemoryFile(files.main.read(0, files.main.size))\n"),
        ),
        what="are numbers", todo="say by `TensorLocation`", check="reader-bytes",
    ),
    "swapped bytes": WrongReader(
        changes=(("body += values.tobytes()", "body += values.byteswap().tobytes()"),),
        what="numbers are wrong", todo="little-endian",
    ),
    "a header that is not checked": WrongReader(
        changes=(("except (ValueError, TypeError, KeyError) as", "except ZeroDivisionError as"),),
        what="a sample with all bits of bytes 8 to 12 set raises UnicodeDecodeError", todo="check what the file states",
    ),
    "a length that is not checked": WrongReader(
        changes=(("        header = file.read(START, length)\n", "        bytes(file.size) if length < 2**31 else [][1]\n        header = file.read(START, length)\n"),),
        what="with all bits of bytes 4 to 8 set raises IndexError", todo="check what the file states",
    ),
    "facts that no file states": WrongReader(
        changes=(("        return plain\n", "        return StoredTensor(**{**vars(plain), 'reason': 'bias'})\n"),),
        what="has the reason 'bias', and the sample None", todo="only where the file shows",
    ),
}  # fmt: skip
WEAK_SAMPLES = {
    "a suffix without its dot": WrongReader(
        changes=(('    name = "odd"\n', '    name = "odd"\n    suffixes = ("odd",)\n'),), what="the suffix 'odd'", todo="with its dot",
        check="reader-claims",
    ),
    "only bytes": WrongReader(
        changes=(("yield ReaderSample(files=", "yield dict(files="),), what="sample 0 is dict", todo="ReaderSample"
    ),
    "equal numbers": WrongReader(
        changes=((".normal(size=shape)", ".normal() * np.ones(shape)"),), what="all numbers of", todo="a number of its own"
    ),
    "no tensors": WrongReader(changes=(("tensors=held", "tensors={}"),), what="states no tensors", todo="every tensor"),
    "small": WrongReader(
        changes=(("(3, 3, 72, 64)", "(3, 3, 7, 6)"),), what="nothing shows what is read", todo="a larger sample",
        check="reader-bytes",
    ),
}  # fmt: skip
