"""Recipes of effective weights that hypothesis draws, and the stored layers that they name."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.extraction.effective import LayerKey, Norm, Recipe, Term


def random(key: str) -> np.random.Generator:
    return np.random.default_rng(list(key.encode()))


def numbers(tensor: str, recipe: Recipe) -> NDArray[np.float32]:
    """The stored weight of a layer of a recipe, which follows from its name."""
    (term,) = (term for term in recipe.terms if term.layer.tensor == tensor)
    steps = term.dilation or (1,) * len(recipe.kernel_size)
    size = tuple(1 + (whole - 1) // step for whole, step in zip(recipe.kernel_size, steps, strict=True))
    return random(tensor).standard_normal((*recipe.shape[:2], *size)).astype(np.float32)


def index_row(tensor: str, recipe: Recipe, model_id: str = "local/a.pt") -> IndexRow:
    """The row of a stored layer of a recipe."""
    shape = recipe.shape
    content = hashlib.sha256(tensor.encode()).hexdigest()
    return IndexRow(
        model_id=model_id, layer_id=f"{model_id}#{tensor}", row_id=f"{model_id}#{tensor}#part0",
        source=model_id.partition("/")[0], layer=tensor.rpartition(".")[0], tensor=tensor, op="conv2d",
        kernel="x".join(map(str, shape[2:])), kernel_size=shape[2:], taps=math.prod(shape[2:]), shape=shape,
        out_channels=shape[0], n_kernels=shape[0] * shape[1], part=0, n_parts=1, out_start=0, stored_dtype="float32",
        layer_sha256=content, weight_sha256=content, weight_kind="learned", structure_source="state_dict",
        operator_verified=False,
    )  # fmt: skip


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Any recipe of up to three stored layers, with dilated branches, rests and normalizations."""
    n_axes = draw(st.integers(1, 3))
    size = tuple(draw(st.sampled_from([1, 3, 5])) for _ in range(n_axes))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 3)), *size)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def factor() -> NDArray[np.float64] | None:
        axes = tuple(draw(st.sampled_from([1, n])) for n in shape)
        return draw(st.sampled_from([None, generator.standard_normal(axes)]))

    terms = [Term(layer=LayerKey("main.weight"), scale=factor(), shift=factor())]
    for name in draw(st.sampled_from([(), ("b.weight",), ("b.weight", "c.weight")])):
        dilation = tuple(draw(st.sampled_from([1, 2])) for _ in size) if min(size) > 1 else None
        out = (shape[0], 1, *(1,) * n_axes)
        scale = draw(st.sampled_from([None, generator.standard_normal(out)]))
        terms.append(Term(layer=LayerKey(name), scale=scale, dilation=dilation))
    rest = generator.standard_normal((*shape[:2], *(1,) * n_axes)).astype(np.float32)
    channels = generator.standard_normal((4, shape[0])).astype(np.float32)
    norm = Norm(
        path="bn",
        evidence=draw(st.sampled_from(["graph", "names"])),
        eps=draw(st.sampled_from([None, 1e-5, 1e-3, 0.0])),
        scale=draw(st.sampled_from([None, channels[0]])),
        offset=draw(st.sampled_from([None, channels[1]])),
        mean=channels[2],
        variance=channels[3] ** 2,
    )
    return Recipe(
        layer=LayerKey("main.weight"),
        steps=draw(st.sampled_from([("batch_norm",), ("weight_norm", "branches"), ("branches", "batch_norm")])),
        shape=shape,
        groups=draw(st.sampled_from([None, 1])),
        terms=tuple(terms),
        rest=draw(st.sampled_from([None, rest])),
        bias=draw(st.sampled_from([None, generator.standard_normal(shape[0])])),
        norm=draw(st.sampled_from([None, norm])),
        eps_assumed=draw(st.booleans()),
    )
