"""What one crawl of one checkpoint brings over the wire: kernels, structure, and what nobody wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from range_crawl import Knobs, crawl_one, remote
from range_files import Written
from range_server import RangeServer, Served
from ratios import Ratio

# Graphs lie between the kernels' sizes: a reader of ONNX may touch some of the numbers on its way.
_EXACT: Final = 1.00
_ONNX: Final = 1.05
_LEAN: Final = ("vit_base_patch16_224", 0.01)
HEADER: Final = (
    "| model | format | joining | file MB | wanted MB | requests | header + index bytes | kernel bytes / wanted "
    "| other bytes | share of the file |\n|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, kw_only=True)
class Wire:
    """Bytes of bodies that were sent. kernels: those of kernels, whenever they came and however often.

    structure: others, sent before the structure was known; other: others, sent after it.
    """

    written: Written
    knobs: Knobs
    requests: int
    structure: int
    kernels: int
    other: int

    @property
    def ratio(self) -> float:
        """What was fetched for the kernels' sake, to what was wanted."""
        return (self.kernels + self.other) / self.written.wanted

    @property
    def share(self) -> float:
        return (self.structure + self.kernels + self.other) / self.written.size

    def row(self) -> str:
        written = self.written
        return (
            f"| {written.model} | {written.form} | {self.knobs.joining} | {written.size / 1e6:.1f} "
            f"| {written.wanted / 1e6:.2f} | {self.requests} | {self.structure:,} "
            f"| {self.kernels / written.wanted:.3f} | {self.other:,} | {self.share:.2%} |"
        )

    def ratios(self) -> Iterator[Ratio]:
        """Yield what came for a byte of kernels with joining off, and the share of the file as planned."""
        what = f"{self.written.model}, {self.written.form}, bytes fetched"
        if self.knobs.gap == 0:
            most = _ONNX if "onnx" in self.written.form else _EXACT
            yield Ratio(
                what=f"{what}, joining off", peer="the kernels' bytes", value=round(self.ratio, 2), at_most=most
            )
        else:
            yield Ratio(what=what, peer="the file", value=self.share)

    def broken(self) -> Iterator[str]:
        """Say which bounds do not hold."""
        what = f"{self.written.model} {self.written.form}"
        most = _ONNX if "onnx" in self.written.form else _EXACT
        if self.knobs.gap == 0 and round(self.ratio, 2) > most:
            yield f"{what}: {self.ratio:.3f} bytes came for a byte of kernels, with joining off; at most {most:.2f}"
        if self.written.model == _LEAN[0] and self.share > _LEAN[1]:
            yield f"{what}: {self.share:.2%} of the file came; at most {_LEAN[1]:.0%}"


def wire(written: Written, server: RangeServer, knobs: Knobs) -> Wire:
    """Crawl one checkpoint and look at the server's log."""
    server.forget()
    before: list[Served] = []
    read = crawl_one(remote(written, server.url), "spatial", knobs.transport(), lambda: before.extend(server.log()))
    assert read == written.wanted, f"{written.main}: {read} bytes of kernels were read, {written.wanted} are there"
    log = server.log()
    first, then = _outside(log[: len(before)], written), _outside(log[len(before) :], written)
    sent = sum(served.sent for served in log)
    return Wire(
        written=written,
        knobs=knobs,
        requests=len(log),
        structure=first,
        kernels=sent - first - then,
        other=then,
    )


def _outside(log: Iterable[Served], written: Written) -> int:
    """Bytes that were sent and are of no kernel."""
    return sum(
        served.sent - _overlap(served.start, served.start + served.sent, written.kernels.get(served.path, ()))
        for served in log
    )


def _overlap(start: int, stop: int, ranges: Sequence[Sequence[int]]) -> int:
    return sum(max(0, min(stop, last) - max(start, first)) for first, last in ranges)
