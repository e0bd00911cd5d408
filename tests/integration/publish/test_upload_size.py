"""What a later version costs at the wire, with Xet and without."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from conftest import NOW, Sync
from support.hub.server import HubServer
from support.hub.xet import stored
from support.publishers import Publishers, content, publishers
from support.zoo_files import published, put

# Twenty networks, of which one is five percent, each of 8 MB in one layer: their tables weigh what real ones weigh.
NETWORKS = 20


def network(seed: int) -> dict[str, torch.Tensor]:
    return {"deep.weight": torch.randn(512, 512, 3, 3, generator=torch.Generator().manual_seed(seed))}


def texts(files: dict[str, bytes]) -> int:
    """Bytes of what describes the columns and does not grow with the rows; it is sent with the commit, in base64."""
    return len(files["README.md"]) + len(files["croissant.json"])


@pytest.fixture(scope="module", params=["lfs", "xet"])
def children(request: pytest.FixtureRequest) -> Iterator[tuple[Publishers, bool]]:
    with publishers(xet=request.param == "xet") as found:
        yield found, request.param == "xet"


@pytest.mark.exhaustive
def test_what_is_new_is_sent_and_little_else(
    children: tuple[Publishers, bool], run_sync: Sync, dataset: Path, zoo: Path, tmp_path: Path
) -> None:
    children_, xet = children
    chunks = tmp_path / "xet"
    chunks.mkdir()
    with HubServer(xet=chunks if xet else None) as hub:

        def sent() -> int:
            """Publish; return the bytes that went over the wire."""
            hub.forget()
            before = stored(chunks)
            found = children_.publish(dataset, hub)
            assert found is not None
            assert found.get("what") == "published", found
            return hub.received + stored(chunks) - before

        for seed in range(NETWORKS):
            put(zoo / f"net{seed:02}.safetensors", network(seed))
        run_sync()
        everything = sum(len(data) for data in (sent() and content(hub)).values())
        first = {path: pq.read_table(dataset / path) for path in published(dataset) if path.endswith(".parquet")}

        put(zoo / "net07b.safetensors", network(100))
        run_sync(now=NOW + timedelta(days=1))
        before = content(hub)
        cost = sent()
        after = content(hub)
        new = {path: len(data) for path, data in after.items() if before.get(path) != data}
        layers = sum(size for path, size in new.items() if "/layers/" in path)
        assert 7_000_000 < layers < cost < 1.02 * layers + 2 * texts(after)
        # Rows that were there lie where they lay: a real table, of many chunks, is sent from there on.
        for path, table in first.items():
            if "/layers/" not in path and path.split("/")[1].split(".")[0] in (
                "index",
                "samples",
                "sketches",
                "ledger",
            ):
                unchanged = pq.read_table(dataset / path).slice(0, table.num_rows)
                names = [name for name in table.column_names if name != "duplicate_of"]
                assert unchanged.select(names) == table.select(names), path

        (zoo / "net03.safetensors").unlink()
        run_sync(prune=True, now=NOW + timedelta(days=2))
        before = content(hub)
        cost = sent()
        after = content(hub)
        changed = {path: len(data) for path, data in after.items() if before.get(path) != data}
        assert not [path for path in changed if "/layers/" in path]
        assert cost <= sum(changed.values()) + 2 * texts(after) + 1000 * len(changed)
        assert cost < everything / 450
