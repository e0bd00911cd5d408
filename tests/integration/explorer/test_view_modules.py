"""Functions of the views, in node: lines that load kernels run, numbers and ids survive as text."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import Sync
from filtercrawl_analysis.explorer.page import page_files
from support.zoo_files import put

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed; the browser tests remain")

Call = Callable[..., Any]
numbers = st.floats(-1e12, 1e12, allow_subnormal=False)


@pytest.fixture(scope="module")
def call() -> Iterator[Call]:
    views = page_files()["js/views/scatter.js"].parent
    command = ["node", str(Path(__file__).with_name("call_views.mjs")), str(views)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def call(module: str, name: str, *arguments: Any) -> Any:
            process.stdin.write(json.dumps([module, name, *arguments]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield call
        process.stdin.close()


def test_lines_load_the_kernel_whatever_its_layer_is_called_and_wherever_it_is_stored(
    call: Call, zoo: Path, run_sync: Sync, tmp_path: Path
) -> None:
    """Names with quotes, a layer of several rows, one of one axis, a duplicate, two with a layer in common."""
    torch.manual_seed(0)
    state = {
        'it\'s "quoted" \\ é.weight': torch.randn(6, 4, 3, 3),
        "long.weight": torch.randn(300, 1600, 3, 3),
        "line.weight": torch.randn(5, 3, 7),
    }
    shared = {'it\'s "quoted" \\ é.weight': state['it\'s "quoted" \\ é.weight'], "own.weight": torch.randn(4, 4, 5, 5)}
    for name, content in (("net", state), ("copy", state), ("head's", shared)):
        put(zoo / f"{name}.safetensors", content)
    dataset = tmp_path / 'data\'s "set"'
    run_sync(dataset=dataset)
    index = pd.read_parquet(dataset / "data/index/part.parquet")
    assert len(index) == 8
    assert index.row_group.isna().any()
    for row in json.loads(index.to_json(orient="records")):
        tensor = (state | shared)[row["tensor"]]
        kernel = {"out": tensor.shape[0] - 1, "in": tensor.shape[1] - 2}
        lines = call("loading.js", "loadingLines", row, kernel, str(dataset))
        assert (lines["pandas"] is None) == (row["file"] is None)
        for line in filter(None, lines.values()):
            found: dict[str, Any] = {}
            exec(line, found)
            assert np.array_equal(np.asarray(found["kernel"]), tensor[kernel["out"], kernel["in"]].numpy())


def test_a_kernel_of_a_repository_is_loaded_at_its_commit(call: Call) -> None:
    layer = {
        "layer_id": "timm/net#conv",
        "file": "data/layers/timm/00/net.parquet",
        "layer_sha256": "0" * 64,
        "kernel": "3x3",
        "kernel_size": [3, 3],
        "shape": [4, 2, 3, 3],
    }
    lines = call("loading.js", "loadingLines", layer, {"out": 3, "in": 1}, "org/kernels@abc123")
    assert 'load_layers("org/kernels@abc123", "layer_id = \'timm/net#conv\'")' in lines["filtercrawl"]
    assert '"hf://datasets/org/kernels@abc123/data/layers/timm/00/net.parquet"' in lines["pandas"]


@given(values=st.lists(st.floats(width=32, allow_infinity=False, allow_nan=False), min_size=1, max_size=9))
def test_numbers_of_a_kernel_keep_three_digits_of_the_largest(call: Call, values: list[float]) -> None:
    shown = call("format.js", "coefficients", values)
    read = [float(cell.replace("\N{MINUS SIGN}", "-")) * 10.0 ** shown["power"] for cell in shown["cells"]]
    assert np.allclose(read, values, rtol=0, atol=0.006 * max(map(abs, values)))
    assert len({len(cell.partition(".")[2]) for cell in shown["cells"]}) == 1


@given(bounds=st.tuples(numbers, numbers, numbers, numbers))
def test_a_brush_in_the_address_holds_all_that_was_marked(
    call: Call, bounds: tuple[float, float, float, float]
) -> None:
    x, y = sorted(bounds[:2]), sorted(bounds[2:])
    brush = call("points.js", "parseBrush", call("points.js", "formatBrush", {"x": x, "y": y}))
    for axis, (low, high) in (("x", x), ("y", y)):
        assert brush[axis][0] <= low
        assert brush[axis][1] >= high
        assert math.isclose(brush[axis][0], low, rel_tol=1e-3, abs_tol=1e-300)
        assert math.isclose(brush[axis][1], high, rel_tol=1e-3, abs_tol=1e-300)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,x", "1,2,3,NaN", "0,1,0,Infinity"])
def test_an_address_without_a_proper_brush_has_none(call: Call, text: str) -> None:
    assert call("points.js", "parseBrush", text) is None


@given(
    conditions=st.lists(st.tuples(st.sampled_from(["kernel", "model_id", "family"]), st.text(max_size=8)), max_size=4)
)
def test_a_group_in_the_address_is_the_same_group(call: Call, conditions: list[tuple[str, str]]) -> None:
    text = call("groups.js", "formatGroup", conditions)
    assert call("groups.js", "parseGroup", text) == [list(condition) for condition in conditions]


@given(values=st.lists(numbers, min_size=1, max_size=30))
def test_quartiles_are_those_of_numpy(call: Call, values: list[float]) -> None:
    assert np.allclose(call("axes.js", "quartiles", sorted(values)), np.quantile(values, [0.25, 0.5, 0.75]))


def test_the_id_of_a_kernel_is_taken_apart_from_its_end(call: Call) -> None:
    assert call("format.js", "parseKernelId", "a/b:1#c:2:3:4") == {"layerId": "a/b:1#c:2", "out": 3, "in": 4}
    assert call("format.js", "parseKernelId", "a/b#c") is None


@pytest.mark.parametrize(
    ("rank", "models", "words"),
    [
        (1, 14, "the farthest of 14 models"),
        (2, 14, "2nd farthest of 14 models"),
        (3, 14, "3rd farthest of 14 models"),
        (11, 14, "11th farthest of 14 models"),
        (14, 14, "the nearest of 14 models"),
        (1021, 1200, "1021st farthest of 1,200 models"),
        (1, 2, "from the only other model"),
    ],
)
def test_the_place_of_a_model_in_its_family_is_said_in_words(call: Call, rank: int, models: int, words: str) -> None:
    row = {"distance": 0.1234, "rank": rank, "models": models}
    assert call("family.js", "placeInWords", row) == f"0.12{' ' if models == 2 else ', '}{words}"


def test_a_verdict_on_a_model_is_a_sentence(call: Call) -> None:
    def said(verdict: str, q: float | None, note: str | None) -> Any:
        return call("family.js", "verdictInWords", {"verdict": verdict, "q": q, "note": note})

    assert said("differs", 0.0123, None).endswith("explains, q = 0.012.")
    assert said("no difference found", 0.5, "x") == "No difference from its family was found, q = 0.5 (x)."
    assert said("too little to tell", None, "9 models") == "Too little to tell whether it differs (9 models)."


def test_groups_that_differ_in_one_column_are_a_pair(call: Call) -> None:
    one = [["family", "resnet"], ["kernel", "3x3"]]
    other = [["kernel", "3x3"], ["family", "vgg"]]
    assert call("groups.js", "difference", one, other) == {"column": "family", "a": "resnet", "b": "vgg"}
    assert call("groups.js", "difference", one, one) is None
    assert call("groups.js", "difference", one, [["task", "detection"]]) is None


@given(
    count=st.integers(1, 16),
    size=st.sampled_from([(3, 3), (1, 7), (7, 1), (5, 3), (9, 3)]),
    box=st.tuples(st.floats(40, 400), st.floats(40, 400)),
    stretched=st.booleans(),
    data=st.data(),
)
def test_a_click_on_a_kernel_of_a_picture_is_for_that_kernel(
    call: Call, count: int, size: tuple[int, int], box: tuple[float, float], stretched: bool, data: st.DataObject
) -> None:
    """A picture that is not stretched keeps its ratio and lies in the middle of its box."""
    columns = call("../grid.js", "columnsFor", count, size)
    picture = (columns * (size[1] + 1) - 1, math.ceil(count / columns) * (size[0] + 1) - 1)
    kernel = data.draw(st.integers(0, count - 1))
    ratio = [side / pixels for side, pixels in zip(box, picture, strict=True)]
    scale = ratio if stretched else [min(ratio)] * 2
    center = (kernel % columns * (size[1] + 1) + size[1] / 2, kernel // columns * (size[0] + 1) + size[0] / 2)
    point = [
        (side - pixels * factor) / 2 + place * factor
        for side, pixels, factor, place in zip(box, picture, scale, center, strict=True)
    ]
    assert call("../draw.js", "kernelAt", point, box, None if stretched else picture, columns, count) == kernel


@given(st.integers(0, 2000), st.integers(1, 20))
def test_what_is_shown_of_a_group_is_spread_over_it(call: Call, n: int, shown: int) -> None:
    places = call("compare.js", "spread", n, shown)
    assert len(places) == min(n, shown)
    assert places == sorted(set(places))
    assert all(i * n // max(n and shown, 1) <= place < n for i, place in enumerate(places))


def test_every_layer_of_small_networks_is_shown(call: Call) -> None:
    """At equal steps all twelve would be the first layer of a network."""
    assert {place % 3 for place in call("compare.js", "spread", 72, 12)} == {0, 1, 2}
