"""Syncing from a Hub: the real client library, real checkpoints, LFS files on another origin."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import h5py
import httpx2
import numpy as np
import pytest
import torch
from huggingface_hub import errors
from torch.distributed.checkpoint import save

from conftest import NOW, Sync
from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.transport import network
from filtercrawl.transport.hub import api, translate_hub_errors
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy
from support.hub.server import Fault, HubServer, sha256
from support.zoo_files import layers, models, published, put, state

Crawl = Callable[..., SyncReport]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def weights(tmp_path: Path) -> Callable[[int], bytes]:
    return lambda seed: put(tmp_path / "made.safetensors", state(seed)).read_bytes()


@pytest.fixture
def crawl(run_sync: Sync, hub: HubServer) -> Crawl:
    """Sync a pattern of the Hub; the log then holds what was asked."""

    def call(pattern: str = "org/*", **settings: Any) -> SyncReport:
        hub.forget()
        return run_sync(f"hub:{pattern}", **settings)

    return call


def test_kernels_are_bit_equal_to_the_file_on_the_second_origin(
    hub: HubServer, crawl: Crawl, dataset: Path, weights: Callable[[int], bytes]
) -> None:
    card = {"license": "mit", "datasets": ["imagenet-1k"], "pipeline_tag": "image-classification"}
    data = weights(1)
    hub.create("org/net", {"model.safetensors": data}, card=card)
    report = crawl()
    assert report.to_dict()["checkpoints"]["new"] == 1
    stored = layers(dataset)
    assert stored.keys() == {f"hub/org/net/model.safetensors#{name}.weight" for name in ("stem", "deep")}
    for layer_id, weight in stored.items():
        assert np.array_equal(weight, state(1)[layer_id.partition("#")[2]].numpy())
    row = models(dataset)["hub/org/net/model.safetensors"]
    assert (row["revision"], row["file_sha256"], row["file_bytes"]) == (sha256(data), sha256(data), len(data))
    assert (row["license"], row["license_evidence"]) == ("MIT", "card license: mit")
    assert (row["task"], row["training_datasets"]) == ("image-classification", ["imagenet-1k"])
    assert hub.counts()["lfs"] >= 1
    assert all("lfs" not in asked.path for asked in hub.log if asked.kind != "lfs")


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
def test_other_formats_are_read_or_named(
    tmp_path: Path, hub: HubServer, crawl: Crawl, dataset: Path, weights: Callable[[int], bytes]
) -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 3, 2, 4)).astype("f4")
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        file["layers/conv2d/vars/0"] = kernel
    save({"conv.weight": torch.ones(4, 2, 3, 3)}, checkpoint_id=tmp_path / "shards", no_dist=True)
    keras = (tmp_path / "keras.h5").read_bytes()
    hub.create("org/copies", {"model.safetensors": weights(1), "tf_model.h5": keras})
    hub.create("org/keras", {"model.weights.h5": keras})
    hub.create("org/shards", {f"net/{path.name}": path.read_bytes() for path in (tmp_path / "shards").iterdir()})
    hub.create("org/gguf", {"net.gguf": b"GGUF" + bytes(60)})
    crawl()
    rows, stored = models(dataset), layers(dataset)
    assert {name: (row["outcome"], row["reason"]) for name, row in rows.items()} == {
        "hub/org/copies/model.safetensors": ("emitted", None),
        "hub/org/copies/tf_model.h5": ("skipped", "same weights as model.safetensors"),
        "hub/org/keras/model.weights.h5": ("emitted", None),
        "hub/org/shards/net/.metadata": ("emitted", None),
        "hub/org/gguf": ("skipped", "no weight files in a format that is read, only GGUF"),
    }
    found = stored["hub/org/keras/model.weights.h5#layers/conv2d/vars/0"]
    assert np.array_equal(found, kernel.transpose(3, 2, 0, 1))
    assert np.all(stored["hub/org/shards/net/.metadata#conv.weight"] == 1)
    crawl("org/gguf/net.gguf")
    assert models(dataset)["hub/org/gguf/net.gguf"]["outcome"] == "failed"
    assert "the file is a GGUF file; no reader claims it" in models(dataset)["hub/org/gguf/net.gguf"]["reason"]


def test_nothing_is_fetched_of_what_did_not_change(
    hub: HubServer, crawl: Crawl, dataset: Path, weights: Callable[[int], bytes]
) -> None:
    for seed in (1, 2):
        hub.create(f"org/net{seed}", {"model.safetensors": weights(seed)})
    crawl()
    before = published(dataset)
    hub.commit("org/net1", {"notes.txt": b"news"})
    report = crawl(now=NOW + timedelta(days=1))
    assert report.to_dict()["checkpoints"]["unchanged"] == 2
    assert (hub.counts()["resolve"], hub.counts()["lfs"]) == (0, 0)
    assert {path: digest for path, digest in published(dataset).items() if "layers" in path} == {
        path: digest for path, digest in before.items() if "layers" in path
    }


def test_changed_deleted_and_gated(
    hub: HubServer, crawl: Crawl, dataset: Path, weights: Callable[[int], bytes]
) -> None:
    for seed, name in enumerate(["changed", "deleted", "gated"]):
        hub.create(f"org/{name}", {"model.safetensors": weights(seed)})
    crawl()
    hub.commit("org/changed", {"model.safetensors": weights(7)})
    hub.delete("org/deleted")
    hub.repos["org/gated"].gated = "manual"
    report = crawl()
    assert report.to_dict()["checkpoints"]["changed"] == 1
    assert report.removed_models == ["hub/org/deleted/model.safetensors"]
    rows, stored = models(dataset), layers(dataset)
    new = stored["hub/org/changed/model.safetensors#stem.weight"]
    assert np.array_equal(new, state(7)["stem.weight"].numpy())
    assert rows["hub/org/gated"]["outcome"] == "skipped"
    assert rows["hub/org/gated"]["reason"].startswith("gated")
    assert "hub/org/gated/model.safetensors#stem.weight" in stored


def test_a_moved_repo_keeps_its_id(
    hub: HubServer, crawl: Crawl, dataset: Path, weights: Callable[[int], bytes]
) -> None:
    hub.create("org/old", {"model.safetensors": weights(1)})
    crawl()
    hub.move("org/old", "org/new")
    report = crawl()
    assert report.to_dict()["checkpoints"]["renamed"] == 1
    row = models(dataset)["hub/org/old/model.safetensors"]
    assert row["aliases"] == ["org/new/model.safetensors"]


def test_shards_and_components_and_copies(
    hub: HubServer, crawl: Crawl, dataset: Path, weights: Callable[[int], bytes], tmp_path: Path
) -> None:
    first = put(tmp_path / "1", {"a.weight": state(1)["stem.weight"]}).read_bytes()
    second = put(tmp_path / "2", {"b.weight": state(2)["stem.weight"]}).read_bytes()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"metadata": {}, "weight_map": {"a.weight": names[0], "b.weight": names[1]}}
    hub.create("org/sharded", {
        "model.safetensors.index.json": json.dumps(index).encode(), names[0]: first, names[1]: second,
    })  # fmt: skip
    half = put(tmp_path / "h", {name: tensor.half() for name, tensor in state(3).items()}).read_bytes()
    torch.save(state(3), tmp_path / "t")
    hub.create("org/pipeline", {
        "model_index.json": b'{"_class_name": "StableDiffusionPipeline"}',
        "unet/diffusion_pytorch_model.safetensors": weights(3),
        "unet/diffusion_pytorch_model.fp16.safetensors": half,
        "unet/diffusion_pytorch_model.bin": (tmp_path / "t").read_bytes(),
        "vae/diffusion_pytorch_model.safetensors": weights(4),
    })  # fmt: skip
    crawl()
    emitted = {name for name, row in models(dataset).items() if row["outcome"] == "emitted"}
    assert emitted == {
        "hub/org/sharded/model.safetensors.index.json",
        "hub/org/pipeline/unet/diffusion_pytorch_model.safetensors",
        "hub/org/pipeline/vae/diffusion_pytorch_model.safetensors",
    }
    stored = layers(dataset)
    for name, seed in (("a", 1), ("b", 2)):
        weight = stored[f"hub/org/sharded/model.safetensors.index.json#{name}.weight"]
        assert np.array_equal(weight, state(seed)["stem.weight"].numpy())
    skipped = models(dataset)["hub/org/pipeline/unet/diffusion_pytorch_model.bin"]
    assert (skipped["outcome"], skipped["reason"]) == (
        "skipped", "same weights as unet/diffusion_pytorch_model.safetensors",
    )  # fmt: skip


def test_faults_end_in_the_same_dataset_as_a_quiet_run(
    hub: HubServer, crawl: Crawl, dataset: Path, weights: Callable[[int], bytes], tmp_path: Path
) -> None:
    for seed in (1, 2):
        hub.create(f"org/net{seed}", {"model.safetensors": weights(seed)})
    crawl(dataset=tmp_path / "quiet")
    hub.fail("/api/models", Fault(status=429, headers={"Retry-After": "0"}), Fault(cut=10, end="reset"))
    hub.fail("/org/net1/resolve/*", Fault(status=500))
    hub.fail("/lfs/*", Fault(cut=100), Fault(cut=7, end="reset"), Fault(status=503))
    assert crawl().to_dict()["checkpoints"]["failed"] == 0
    one, two = layers(tmp_path / "quiet"), layers(dataset)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_token_goes_to_the_hub_and_nowhere_else(
    hub: HubServer, crawl: Crawl, dataset: Path, weights: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", hub.token)
    hub.create("org/gated", {"model.safetensors": weights(1)})
    hub.repos["org/gated"].gated = "manual"
    assert crawl(sources={"hub": {"gated": True}}).to_dict()["checkpoints"]["new"] == 1
    told = {asked.kind for asked in hub.log if asked.headers.get("authorization") == "Bearer hf_secret"}
    assert told == {"list", "auth-check", "info", "resolve"}
    assert hub.counts()["lfs"] > 0
    for path in dataset.rglob("*"):
        assert path.is_dir() or b"hf_secret" not in path.read_bytes()


def test_a_mirror_serves_what_lies_on_the_hub(
    hub: HubServer, crawl: Crawl, dataset: Path, weights: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT")
    hub.create("org/net", {"model.safetensors": weights(1)})
    crawl(mirrors={"https://huggingface.co/": f"{hub.url}/"})
    row = models(dataset)["hub/org/net/model.safetensors"]
    assert row["outcome"] == "emitted"
    assert row["url"] == f"https://huggingface.co/org/net/resolve/{hub.repos['org/net'].head.sha}/model.safetensors"


# The door itself.


def test_every_request_goes_through_the_transport_with_its_user_agent(hub: HubServer) -> None:
    hub.create("org/net", {"model.pt": b"x"})
    transport = network()
    client = api(transport)
    assert [info.id for info in client.list_models(author="org")] == ["org/net"]
    assert client.model_info("org/net").id == "org/net"
    assert transport.requests == len(hub.log) == 2
    assert all(asked.headers["user-agent"].startswith("filtercrawl/") for asked in hub.log)


def test_a_second_transport_does_not_close_the_first(hub: HubServer) -> None:
    hub.create("org/net", {"model.pt": b"x"})
    first = network()
    api(first)
    second = api(network())
    assert second.model_info("org/net").id == "org/net"
    assert first.get_json(f"{hub.url}/api/models/org/net")["id"] == "org/net"


def test_a_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = api(
            network(options=TransportOptions(read_timeout=0.05, retry=RetryPolicy(attempts=1))),
            f"http://127.0.0.1:{silent.getsockname()[1]}",
        )
        for ask in (lambda: list(client.list_models()), lambda: client.model_info("org/net")):
            with pytest.raises(NetworkError, match="org/it"), translate_hub_errors("org/it"):
                ask()


def test_errors_of_the_client_become_ours(hub: HubServer) -> None:
    for name in ("gated", "disabled"):
        hub.create(f"org/{name}", {"model.pt": b"x"})
    hub.repos["org/gated"].gated = "auto"
    hub.repos["org/disabled"].disabled = True
    client = api(network())
    cases: list[tuple[type[NetworkError], str, Callable[[], Any]]] = [
        (AccessDeniedError, "gated", lambda: client.auth_check("org/gated")),
        (AccessDeniedError, "disabled", lambda: client.model_info("org/disabled")),
        (NotFoundError, "not on the Hub", lambda: client.model_info("org/missing")),
        (NotFoundError, "not on the Hub", lambda: client.model_info("org/gated", revision="no-such")),
        (NotFoundError, "not a valid repository name", lambda: client.model_info("org/-.-/x")),
        (NetworkError, "404", lambda: client.get_user_overview("nobody")),
    ]
    for kind, text, ask in cases:
        with pytest.raises(kind, match=text) as caught, translate_hub_errors("org/it"):
            ask()
        assert str(caught.value).startswith("org/it: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(NetworkError, match="org/it"), translate_hub_errors("org/it"):
        raise httpx2.ReadError("reset")
    with pytest.raises(NetworkError, match="org/it"), translate_hub_errors("org/it"):
        raise errors.OfflineModeIsEnabled("offline")
