"""Shuffled kernels: each once, the same batches for the same seed, mixed beyond layers, in bounded memory."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from conftest import Sync
from filtercrawl.api.errors import UsageError
from filtercrawl.load import KernelDataset, load_layers, to_flat_tensor, to_tensors
from support.zoo_files import put, state

# Workers are forked here; newer Pythons say that threads do not come along.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
LARGE = (3700, 256, 3, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six networks of 3x3 kernels of different sizes, each number of which occurs once; 5x5 beside them."""
    from filtercrawl.api.plugin_manager import load_plugins
    from filtercrawl.config import Settings
    from filtercrawl.pipeline.sync import SyncContext, sync

    path = tmp_path_factory.mktemp("kernels")
    for number in range(6):
        width = 8 + 5 * number
        tensors = {f"{k}.weight": torch.randn(width, 4 + k, 3, 3) for k in range(3)}
        put(path / f"zoo/{number}.safetensors", tensors | {"deep.weight": torch.randn(width, 1, 5, 5)})
    run = SyncContext(
        settings=Settings(dataset=path / "dataset", device="cpu", engine="threads"), plugins=load_plugins()
    )
    assert sync([f"local:{path / 'zoo'}"], run).failures == {}
    return path / "dataset"


def counted(kernels: torch.Tensor) -> Counter[tuple[float, ...]]:
    return Counter(tuple(kernel) for kernel in kernels.flatten(1).tolist())


def together(batches: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(batches))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch_size=st.integers(1, 5000),
    pool_bytes=st.integers(0, 200_000),
    seed=st.integers(0, 2**70),
    where=st.sampled_from([None, "out_channels > 20", "model_id = 'local/3.safetensors'", "layer = '1'"]),
)
def test_every_kernel_once(folder: Path, batch_size: int, pool_bytes: int, seed: int, where: str | None) -> None:
    kernels = KernelDataset(folder, "3x3", batch_size=batch_size, seed=seed, where=where, buffer_bytes=pool_bytes)
    batches = list(kernels)
    stored = to_flat_tensor(load_layers(folder, f"kernel = '3x3' and ({where or 'true'})")["weight"]).view(-1, 3, 3)
    assert kernels.n_kernels == len(stored)
    assert counted(torch.cat(batches)) == counted(stored)
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    assert 1 <= len(batches[-1]) <= batch_size
    assert all(batch.dtype == torch.float32 and batch.shape[1:] == (3, 3) for batch in batches)
    assert all(torch.equal(*pair) for pair in zip(batches, kernels, strict=True))


def test_numbers_name_the_kernels_that_they_come_with(folder: Path) -> None:
    kernels = KernelDataset(folder, "3x3", batch_size=500, buffer_bytes=50_000, numbers=True)
    plain = KernelDataset(folder, "3x3", batch_size=500, buffer_bytes=50_000)
    table = load_layers(folder, "kernel = '3x3'", ["layer_id"])
    weights = dict(zip(table["layer_id"].to_pylist(), to_tensors(table), strict=True))
    seen = []
    for (batch, numbers), same in zip(kernels, plain, strict=True):
        assert torch.equal(batch, same)
        seen += numbers.tolist()
        for kernel, name in zip(batch, kernels.kernel_ids(numbers), strict=True):
            layer, out, channel = name.rsplit(":", 2)
            assert torch.equal(kernel, weights[layer][int(out), int(channel)])
    assert sorted(seen) == list(range(kernels.n_kernels))
    with pytest.raises(IndexError):
        kernels.kernel_ids(torch.tensor([kernels.n_kernels]))


def test_numbers_come_from_workers_too(folder: Path) -> None:
    kernels = KernelDataset(folder, "3x3", batch_size=500, numbers=True)
    loader = DataLoader(kernels, batch_size=None, num_workers=2)
    assert sorted(torch.cat([numbers for _, numbers in loader]).tolist()) == list(range(kernels.n_kernels))


def test_no_worker_is_one_worker(folder: Path) -> None:
    kernels = KernelDataset(folder, "3x3", batch_size=100, seed=3, buffer_bytes=40_000)
    none, one = (list(DataLoader(kernels, batch_size=None, num_workers=workers)) for workers in (0, 1))
    assert all(torch.equal(*pair) for pair in zip(none, one, strict=True))
    assert all(torch.equal(*pair) for pair in zip(none, kernels, strict=True))


def test_several_workers_share_the_kernels(folder: Path) -> None:
    kernels = KernelDataset(folder, "3x3", batch_size=100, seed=3, buffer_bytes=40_000)
    first, second = (list(DataLoader(kernels, batch_size=None, num_workers=2)) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert counted(torch.cat(first)) == counted(together(kernels))


def test_a_worker_without_row_groups_yields_no_batch(folder: Path) -> None:
    kernels = KernelDataset(folder, "3x3", batch_size=1000, where="model_id = 'local/0.safetensors' and layer = '1'")
    batches = list(DataLoader(kernels, batch_size=None, num_workers=2))
    assert [len(batch) for batch in batches] == [kernels.n_kernels]


def test_an_epoch_has_an_order_of_its_own_also_in_workers_that_stay(folder: Path) -> None:
    kernels = KernelDataset(folder, "3x3", batch_size=100, seed=3)
    loader = DataLoader(kernels, batch_size=None, num_workers=1, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        kernels.set_epoch(epoch)
        orders.append(together(loader))
        assert torch.equal(orders[-1], together(kernels))
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])
    assert counted(orders[0]) == counted(orders[1])
    assert not torch.equal(orders[0], together(KernelDataset(folder, "3x3", batch_size=100, seed=4)))


def test_a_pickled_copy_gives_the_same(folder: Path) -> None:
    kernels = KernelDataset(folder, "3x3", batch_size=100, seed=3)
    kernels.set_epoch(2)
    assert torch.equal(together(pickle.loads(pickle.dumps(kernels))), together(kernels))


def test_kernels_are_mixed_not_layers(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for number in range(8):
        put(
            zoo / f"{number}.safetensors",
            {"w.weight": torch.full((32, 32, 3, 3), float(number)) + torch.rand(32, 32, 3, 3) / 2},
        )
    run_sync()
    held = 4096 * 36  # half of all kernels
    batches = [
        batch[:, 0, 0].floor() for batch in KernelDataset(dataset, "3x3", batch_size=256, seed=0, buffer_bytes=held)
    ]
    assert len(batches) == 32
    assert all(len(batch.unique()) >= 4 for batch in batches[:24])
    # Within the pool order tells nothing: neighbours are of one network as often as chance has it.
    first = batches[0]
    assert (first[1:] == first[:-1]).float().mean() < 0.5


def test_a_weight_that_several_layers_share_comes_once(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    shared = state(1)["stem.weight"]
    put(zoo / "a.safetensors", {"one.weight": shared, "two.weight": shared.clone()})
    put(zoo / "b.safetensors", {"one.weight": shared, "other.weight": state(2)["stem.weight"]})
    run_sync()
    kernels = KernelDataset(dataset, "3x3")
    assert load_layers(dataset).num_rows == 4
    assert counted(together(kernels)) == counted(torch.cat([shared, state(2)["stem.weight"]]).view(-1, 3, 3))
    assert kernels.n_kernels == 24


def test_a_layer_in_parts_is_read_to_its_end(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    weight = torch.randn(LARGE)
    put(zoo / "large.safetensors", {"large.weight": weight})
    run_sync()
    # Sums that depend on every place: as dictionaries these kernels would take a gigabyte.
    out = together(KernelDataset(dataset, "3x3", batch_size=100_000, buffer_bytes=1 << 24)).view(-1, 9)
    assert torch.equal(out[:, 0].sort().values, weight.view(-1, 9)[:, 0].sort().values)
    assert torch.equal(
        (out[:, 0] + 3 * out[:, 8]).sort().values,
        (weight.view(-1, 9) @ torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0, 3])).sort().values,
    )


def test_other_sizes_and_what_there_is_not(folder: Path) -> None:
    deep = KernelDataset(folder, "5x5", batch_size=7)
    assert (deep.kernel_size, deep.n_kernels) == ((5, 5), sum(8 + 5 * number for number in range(6)))
    assert next(iter(deep)).shape == (7, 5, 5)
    with pytest.raises(UsageError, match="no kernels of 9x9"):
        KernelDataset(folder, "9x9")
    with pytest.raises(UsageError, match="no kernels of 3x3' or 'a' = 'a"):
        KernelDataset(folder, "3x3' or 'a' = 'a")
    with pytest.raises(UsageError, match="where false"):
        KernelDataset(folder, "3x3", where="false")
    with pytest.raises(UsageError, match="at least one kernel"):
        KernelDataset(folder, "3x3", batch_size=0)
    with pytest.raises(UsageError, match="not negative"):
        KernelDataset(folder, "3x3", seed=-1)
