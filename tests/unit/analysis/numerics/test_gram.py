"""Products of all pairs of rows by blocks, by both libraries, against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from filtercrawl_analysis.numerics import gram
from filtercrawl_analysis.numerics.gram import BLOCK, pairwise_products


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 200, BLOCK, BLOCK + 1, 1100])
def test_every_pair_of_rows_comes_once(
    n: int, kind: torch.dtype, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if onednn and gram._onednn_product() is None:
        pytest.skip("oneDNN is not worth it on this processor, or this torch has it not")
    if not onednn:
        monkeypatch.setattr(gram, "_onednn_product", lambda: None)
    rows = torch.from_numpy(np.random.default_rng(n).standard_normal((n, 50))).to(kind)
    found, often = np.zeros((n, n)), np.zeros((n, n), int)
    for here, there, block in pairwise_products(rows):
        found[here, there] = block.numpy()
        often[here, there] += 1
        if here != there:
            found[there, here] = block.numpy().T
            often[there, here] += 1
    assert (often == 1).all()
    exact = rows.double().numpy()
    np.testing.assert_allclose(found, exact @ exact.T, atol=1e-4 if kind == torch.float32 else 1e-12)


@pytest.mark.parametrize(
    "broken", [RuntimeError("no such operator"), AttributeError("gone"), TypeError("other arguments")]
)
def test_a_torch_without_the_operation_is_no_fault(broken: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    class Changed:
        def __getattr__(self, name: str) -> object:
            raise broken

    monkeypatch.setattr(torch.ops, "mkldnn", Changed())
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert gram._onednn_product.__wrapped__() is None
