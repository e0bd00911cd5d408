"""Whatever a network cuts, corrupts or delays: the dataset is right, or the checkpoint is recorded as failed."""

from __future__ import annotations

import hashlib
import io
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save

from conftest import NOW
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import NetworkSettings, Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport.client import HttpTransport
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy
from support.http_server import Answer, Fault, FileServer, gzipped, multipart
from support.plugins import BUNDLED, AcmeZoo, entry
from support.torch_files import saved
from support.zoo_files import State, layers, models, state, table

STATE = state(3, width=300)  # a third of a megabyte between the kernels, so that they come in several requests
KERNELS = {name: STATE[name].numpy() for name in ("stem.weight", "deep.weight")}
OPTIONS = TransportOptions(read_timeout=0.2, retry=RetryPolicy(attempts=3))


def npz(tensors: State) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: tensor.numpy() for name, tensor in tensors.items()})
    return buffer.getvalue()


def onnx(tensors: State) -> bytes:
    """A convolution a kernel, and everything else as initializers that nothing uses."""
    nodes = [helper.make_node("Conv", ["x", name], [f"y.{name}"], name=name) for name in KERNELS]
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    outputs = [helper.make_tensor_value_info(f"y.{name}", TensorProto.FLOAT, None) for name in KERNELS]
    held = [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in tensors.items()]
    model = helper.make_model(helper.make_graph(nodes, "net", values, outputs, held))
    data: bytes = model.SerializeToString()
    return data


FILES: dict[str, bytes] = {
    "a.safetensors": save(STATE),
    "b.pt": saved(STATE),
    "c.pth": saved(STATE, zipped=False),
    "d.npz": npz(STATE),
    "e.onnx": onnx(STATE),
}


@dataclass
class World:
    """A zoo behind a bad network; every run has a dataset and a cache of its own."""

    server: FileServer
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    number: Iterator[int]

    def crawl(self, files: Mapping[str, bytes] = FILES, **chosen: object) -> tuple[SyncReport, Path]:
        rows = []
        for name, data in files.items():
            known = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            rows.append({"name": name, "files": [{"url": self.server.put(f"/{name}", data), "path": name, **known}]})
        index = self.server.pages("/index", [rows])
        mine = entry(self.monkeypatch, "acme", filtercrawl_sources=lambda: iter([AcmeZoo(index)]))
        place = self.folder / str(next(self.number))
        transport = HttpTransport(
            NetworkSettings(cache=place / "cache"),
            cancellation=CancellationToken(sleep=bool),
            options=OPTIONS,
        )
        try:
            run = SyncContext(
                settings=Settings(dataset=place / "dataset", device="cpu", **chosen),  # type: ignore[arg-type]
                plugins=load_plugins([*BUNDLED, mine]),
                transport=transport,
                now=NOW,
            )
            return sync(["acme"], run), place / "dataset"
        finally:
            transport.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with FileServer() as server:
        yield World(server, tmp_path, monkeypatch, count())


def check(report: SyncReport, dataset: Path) -> None:
    """Hold everything that was written against the truth; what is missing must be recorded as failed."""
    stored = layers(dataset) if (dataset / "data/layers").is_dir() else {}
    weights = {hashlib.sha256(weight.tobytes()).hexdigest(): weight for weight in stored.values()}
    index = table(dataset, "index")
    rows = models(dataset)
    for name in FILES:
        of_model = [row for row in index if row["model_id"] == f"acme/{name}" and row["file"]]
        mine = {row["tensor"]: weights[row["layer_sha256"]] for row in of_model}  # equal layers are stored once
        row = rows[f"acme/{name}"]
        if row["outcome"] == "duplicate":  # the same kernels as another file's
            mine = KERNELS
        if row["outcome"] == "failed":
            assert mine == {}
            assert report.failures[f"acme/{name}"]
            assert "report this as a bug" not in report.failures[f"acme/{name}"]
        else:
            assert mine.keys() == KERNELS.keys()
            assert all(np.array_equal(mine[key], KERNELS[key]) for key in KERNELS)


def test_every_format_is_right_by_ranges(world: World) -> None:
    report, dataset = world.crawl()
    assert report.failures == {}
    check(report, dataset)
    assert report.bytes_fetched < 0.8 * report.bytes_offered


def late(seconds: float) -> Callable[[Answer], Answer]:
    def wait(answer: Answer) -> Answer:
        time.sleep(seconds)
        return answer

    return wait


def flipped(seed: int) -> Callable[[Answer], Answer]:
    """One bit of the body is another."""

    def flip(answer: Answer) -> Answer:
        if not answer.body:
            return answer
        body = bytearray(answer.body)
        body[random.Random(seed).randrange(len(body))] ^= 1 << seed % 8
        return replace(answer, body=bytes(body))

    return flip


def elsewhere(shift: int) -> Callable[[Answer], Answer]:
    """As many bytes from another place of one of the files, and honest about the place."""

    def move(answer: Answer) -> Answer:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
        if match is None:
            return answer
        start, total = int(match[1]), int(match[3])
        data = next(data for data in FILES.values() if len(data) == total)
        start = min(max(start + shift, 0), total - len(answer.body))
        told = {"Content-Range": f"bytes {start}-{start + len(answer.body) - 1}/{total}"}
        return replace(answer, body=data[start : start + len(answer.body)], headers={**answer.headers, **told})

    return move


FAULT = st.one_of(
    st.sampled_from([429, 500, 502, 503, 504, 404, 403, 416, 412, 204, 301]).map(lambda status: Fault(status=status)),
    st.builds(Fault, cut=st.integers(-1, 90_000), end=st.sampled_from(["close", "reset"])),
    st.floats(0, 0.01).map(lambda seconds: Fault(change=late(seconds))),
    st.sampled_from([gzipped, multipart]).map(lambda change: Fault(change=change)),
    st.integers(-70_000, 70_000).map(
        lambda more: Fault(change=lambda a: replace(a, body=a.body[:more] if more < 0 else a.body + bytes(more)))
    ),
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)).map(
        lambda span: Fault(headers={"Content-Range": f"bytes {span[0]}-{span[1]}/{len(FILES['a.safetensors'])}"})
    ),
    st.sampled_from(["", '"other"', 'W/"weak"']).map(lambda tag: Fault(headers={"ETag": tag})),
    st.integers(-100_000, 100_000).map(lambda shift: Fault(change=elsewhere(shift))),
    st.just(Fault(headers={"Content-Length": "7"})),
    st.just(Fault(ignore_range=True)),
    st.integers(0, 10**6).map(lambda cut: Fault(ignore_range=True, cut=cut)),
)
SOME = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.exhaustive
@SOME
@given(faults=st.fixed_dictionaries({name: st.lists(st.just(Fault()) | FAULT, max_size=5) for name in FILES}))
def test_a_network_that_cuts_delays_and_lies(world: World, faults: dict[str, list[Fault]]) -> None:
    world.server.heal()
    for name, mine in faults.items():
        world.server.fail(f"/{name}", *mine)
    report, dataset = world.crawl()
    check(report, dataset)


@settings(SOME, max_examples=10)
@given(flips=st.lists(st.tuples(st.sampled_from(sorted(FILES)), st.integers(0, 10**6)), max_size=8))
def test_bits_that_flip_are_found_where_files_are_proven(world: World, flips: list[tuple[str, int]]) -> None:
    """With `prove`, every file is fetched whole and held against its sha256."""
    world.server.heal()
    for name, seed in flips:
        world.server.fail(f"/{name}", Fault(change=flipped(seed)))
    report, dataset = world.crawl(prove=True)
    check(report, dataset)
    assert all(row["verified"] == "sha256" for row in models(dataset).values() if row["outcome"] == "emitted")


@pytest.mark.exhaustive
@SOME
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["b.pt", "d.npz"]))
def test_a_flipped_kernel_is_found_by_the_checksum_of_its_archive(world: World, seed: int, name: str) -> None:
    """Of an archive only ranges come, and yet a wrong weight does not get through."""
    kernel = KERNELS["stem.weight"].tobytes()
    spoiled = bytearray(FILES[name])
    spoiled[FILES[name].find(kernel) + random.Random(seed).randrange(len(kernel))] ^= 1 << seed % 8
    report, dataset = world.crawl({**FILES, name: bytes(spoiled)})
    assert "CRC-32" in report.failures[f"acme/{name}"]
    check(report, dataset)
