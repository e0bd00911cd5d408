"""The source `timm`: every entry of the installed library once, at the commit that the Hub lists."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from packaging.licenses import canonicalize_license_expression

from conftest import Sync
from filtercrawl.api.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
    Offer,
    PreviousState,
    RemoteFile,
    Skipped,
    combined_etag,
)
from filtercrawl.api.errors import NetworkError, UnsupportedError, UsageError
from filtercrawl.api.source import Query
from filtercrawl.api.transport import Transport
from filtercrawl.config import NetworkSettings
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy
from filtercrawl_plugins.sources.timm.registry import list_entries
from filtercrawl_plugins.sources.timm.source import TimmSource
from support.http_server import FileServer
from support.hub.server import HubServer
from support.zoo_files import models

pytestmark = pytest.mark.usefixtures("forked_children")

FAMILIES = (
    *("resnet18.a1_in1k", "convnext_atto.d2_in1k", "efficientnet_b0.ra_in1k", "vit_tiny_patch16_224.augreg_in21k"),
    *("tf_efficientnet_cc_b0_4e.in1k", "resnetv2_50x1_bit.goog_in21k", "repvgg_a0.rvgg_in1k", "vgg11.tv_in1k"),
    *("coat_tiny.in1k", "densenet121.ra_in1k", "regnetx_002.pycls_in1k", "dm_nfnet_f0.dm_in1k"),
    *("swin_tiny_patch4_window7_224.ms_in1k", "fastvit_t8.apple_in1k"),
)
IJEPA = "vit_huge_patch14_gap_224.in1k_ijepa"


class Offline:
    """A transport that nobody may use."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"asked the network for {name}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer(page_size=2) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def offers(pattern: str, transport: Transport | None = None, **query: object) -> list[Offer]:
    asked = Query(pattern=pattern, **query)  # type: ignore[arg-type]  # the tests know the fields
    return list(TimmSource().checkpoints(transport or network(), asked))


def one(pattern: str) -> Checkpoint:
    (offer,) = offers(pattern)
    assert isinstance(offer, Checkpoint), offer
    return offer


def described(name: str) -> Checkpoint:
    """What the source says of an entry, without the network."""
    entry = next(entry for entry in list_entries() if name in entry.names)
    return Checkpoint(name=name, files=(RemoteFile(url="https://x.example/x"),), meta=entry.meta({}))


def test_every_entry_of_the_library_is_there_once() -> None:
    names = [name for entry in list_entries() for name in entry.names]
    assert sorted(names) == sorted(timm.list_pretrained())
    assert TimmSource().offers() == len(list_entries())
    places = [(entry.repo, entry.file, entry.repo or entry.url) for entry in list_entries()]
    assert len(set(places)) == len(places)


def test_every_entry_is_well_formed() -> None:
    for entry in list_entries():
        meta = entry.meta({})
        assert all(name.isascii() and name.isprintable() for name in entry.names)
        assert (entry.repo and entry.repo.count("/") == 1) or entry.url.startswith("https://"), entry
        assert meta.architecture
        assert meta.family
        assert meta.library == "timm"
        assert f"{meta.architecture}.{meta.tag}" == entry.names[0]
        if meta.license:
            assert canonicalize_license_expression(meta.license) == meta.license
            assert meta.license_evidence
        assert meta.released is None
        assert dict(meta.metrics) == {}


def test_a_licence_that_is_none_of_spdx_is_evidence_only() -> None:
    stated = {config.license for name in timm.list_pretrained() if (config := timm.get_pretrained_cfg(name))}
    assert "dinov3-license" in stated
    entry = next(entry for entry in list_entries() if entry.config.license == "dinov3-license")
    meta = entry.meta({})
    assert (meta.license, meta.license_evidence) == (None, "timm cfg license: dinov3-license")


def test_a_file_that_entries_share_is_offered_once_under_the_name_of_its_repository() -> None:
    shared = [entry for entry in list_entries() if len(entry.names) > 1]
    assert shared
    for entry in shared:
        assert entry.repo == f"timm/{entry.names[0]}"
        ids = {timm.get_pretrained_cfg(name).hf_hub_id for name in entry.names}  # type: ignore[union-attr]  # listed
        assert ids == {entry.repo}


def test_the_hub_is_asked_for_listing_pages_only(hub: HubServer) -> None:
    shas = {name: hub.create(f"timm/{name}", {"model.safetensors": b"x"}) for name in timm.list_pretrained("resnet18*")}
    hub.create("timm/other", {"model.safetensors": b"x"})
    assert len(shas) > 2
    found = offers("resnet18*")
    assert [offer.name for offer in found] == list(shas)
    assert set(hub.counts()) == {"list"}
    for offer in found:
        assert isinstance(offer, Checkpoint)
        (file,) = offer.files
        sha = shas[offer.name]
        assert file.url == f"{hub.url}/timm/{offer.name}/resolve/{sha}/model.safetensors"
        assert (file.etag, offer.revision) == (sha, None)


def test_a_listing_changes_with_the_commit_and_with_nothing_else(hub: HubServer) -> None:
    hub.create("timm/resnet18.a1_in1k", {"model.safetensors": b"one"})
    before = one("resnet18.a1_in1k")
    assert one("resnet18.a1_in1k") == before
    hub.commit("timm/resnet18.a1_in1k", {"model.safetensors": b"two"})
    after = one("resnet18.a1_in1k")
    assert after.files[0].etag != before.files[0].etag
    assert replace(after, files=()) == replace(before, files=())


def test_the_sha256_is_the_revision_where_the_listing_states_it(hub: HubServer) -> None:
    digest = "ab" * 32
    siblings = [{"rfilename": "model.safetensors", "size": 3, "lfs": {"sha256": digest, "size": 3, "pointerSize": 1}}]
    hub.create("timm/resnet18.a1_in1k", {"model.safetensors": b"one"}, siblings=siblings)
    found = one("resnet18.a1_in1k")
    assert (found.revision, found.files[0].sha256, found.files[0].size) == (digest, digest, 3)


def test_the_file_is_the_one_that_timm_would_load(hub: HubServer) -> None:
    hub.create("timm/resnet18.a1_in1k", {"pytorch_model.bin": b"x", "config.json": b"{}"})
    assert one("resnet18.a1_in1k").files[0].path == "pytorch_model.bin"
    hub.commit("timm/resnet18.a1_in1k", {"model.safetensors": b"x"})
    assert one("resnet18.a1_in1k").files[0].path == "model.safetensors"
    hub.commit("timm/resnet18.a1_in1k", {}, delete=["model.safetensors", "pytorch_model.bin"])
    (skipped,) = offers("resnet18.a1_in1k")
    assert isinstance(skipped, Skipped)
    assert "neither model.safetensors nor pytorch_model.bin" in skipped.reason


def test_a_sharded_set_comes_whole_and_behind_its_index(hub: HubServer) -> None:
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    hub.create("timm/resnet18.a1_in1k", dict.fromkeys(["model.safetensors.index.json", *shards, "other.bin"], b"x"))
    assert [file.path for file in one("resnet18.a1_in1k").files] == ["model.safetensors.index.json", *shards]


def test_what_the_hub_does_not_list_or_give_is_skipped_with_the_reason(hub: HubServer) -> None:
    for name in ("resnet18.a1_in1k", "resnet18.a2_in1k", "resnet18.a3_in1k"):
        hub.create(f"timm/{name}", {"model.safetensors": b"x"})
    hub.repos["timm/resnet18.a1_in1k"].private = True
    hub.repos["timm/resnet18.a2_in1k"].disabled = True
    hub.repos["timm/resnet18.a3_in1k"].gated = "auto"
    reasons = {offer.name: offer.reason for offer in offers("resnet18.a?_in1k") if isinstance(offer, Skipped)}
    assert list(reasons) == [f"resnet18.a{number}_in1k" for number in (1, 2, 3)]
    for reason, word in zip(reasons.values(), ("private", "disabled", "gated"), strict=True):
        assert word in reason


def test_a_gated_repository_is_asked_about_once_a_commit(hub: HubServer) -> None:
    name, wanted = "resnet18.a1_in1k", {"gated": True}
    sha = hub.create(f"timm/{name}", {"model.safetensors": b"x"})
    hub.repos[f"timm/{name}"].gated = "manual"
    (skipped,) = offers(name, settings=wanted)
    assert isinstance(skipped, Skipped)
    assert skipped.revision == sha
    assert hub.counts()["auth-check"] == 1
    known = {name: PreviousState(outcome="skipped", reason=skipped.reason, revision=skipped.revision)}
    hub.forget()
    assert offers(name, settings=wanted, previous_states=known) == [skipped]
    assert set(hub.counts()) == {"list"}
    hub.commit(f"timm/{name}", {"README.md": b"x"})
    offers(name, settings=wanted, previous_states=known)
    assert hub.counts()["auth-check"] == 1


def test_a_gated_repository_is_read_with_a_token_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer(token="hf_secret") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        hub.create("timm/resnet18.a1_in1k", {"model.safetensors": b"x"})
        hub.repos["timm/resnet18.a1_in1k"].gated = "auto"
        transport = network(NetworkSettings(auth={hub.url: "HF_TOKEN"}))
        (offer,) = offers("resnet18.a1_in1k", transport, settings={"gated": True})
        assert isinstance(offer, Checkpoint)
        (offer,) = offers("resnet18.a1_in1k", transport)
        assert isinstance(offer, Skipped)
        assert "hf_secret" not in repr(offer)


def test_an_alias_finds_the_file_it_shares(hub: HubServer) -> None:
    name, alias = next(entry.names for entry in list_entries() if len(entry.names) == 2)
    hub.create(f"timm/{name}", {"model.safetensors": b"x"})
    found = one(alias)
    assert (found.name, found.aliases) == (name, (alias,))


def test_an_architecture_alone_means_all_its_weights(hub: HubServer) -> None:
    for name in timm.list_pretrained("resnet18.*"):
        hub.create(f"timm/{name}", {"model.safetensors": b"x"})
    assert [offer.name for offer in offers("resnet18")] == timm.list_pretrained("resnet18.*")


def test_a_hub_that_does_not_answer_makes_no_complete_listing(hub: HubServer) -> None:
    hub.close()
    with pytest.raises(NetworkError, match="the models of timm"):
        offers("resnet18.a1_in1k", network(options=TransportOptions(retry=RetryPolicy(attempts=1))))


def test_a_dry_run_lists_without_the_hub_what_timm_and_the_dataset_know(
    hub: HubServer, caplog: pytest.LogCaptureFixture
) -> None:
    hub.create("timm/resnet18.a1_in1k", {"model.safetensors": b"x"})
    online = one("resnet18.a1_in1k")
    hub.close()
    once = network(options=TransportOptions(retry=RetryPolicy(attempts=1)))
    known = {
        "resnet18.a1_in1k": PreviousState(revision=online.revision, etag=combined_etag(online)),
        "resnet18.a2_in1k": PreviousState(outcome="skipped", reason="gated", revision="1"),
    }
    found = {offer.name: offer for offer in offers("resnet18", once, dry_run=True, previous_states=known)}
    assert list(found) == timm.list_pretrained("resnet18.*")
    same, skipped, new = (found[f"resnet18.a{number}_in1k"] for number in (1, 2, 3))
    assert isinstance(same, Checkpoint)
    assert (same.revision, combined_etag(same)) == (online.revision, combined_etag(online))
    assert skipped == Skipped(name="resnet18.a2_in1k", reason="gated", revision="1")
    assert isinstance(new, Checkpoint)
    assert new.files[0].url == f"{hub.url}/timm/resnet18.a3_in1k/resolve/main/model.safetensors"
    assert new.meta == described("resnet18.a3_in1k").meta
    assert "timm: listed without the Hub, so that changes are not seen" in caplog.text


def test_a_pattern_that_matches_nothing_says_so() -> None:
    with pytest.raises(UsageError, match="no name matches 'resnte18'"):
        offers("resnte18", Offline())  # type: ignore[arg-type]  # it must not be used


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="visual_category"):
        offers("resnet18", settings={"visual_category": {"imagenet-1k": 3}})
    with pytest.raises(UsageError, match="gated: 'yes' is not true or false"):
        offers("resnet18", settings={"gated": "yes"})


def test_a_user_may_name_what_a_dataset_shows(hub: HubServer) -> None:
    hub.create("timm/resnet18.a1_in1k", {"model.safetensors": b"x"})
    (offer,) = offers("resnet18.a1_in1k", settings={"visual_category": {"imagenet-1k": "photos"}})
    assert isinstance(offer, Checkpoint)
    assert offer.meta.visual_category == "photos"


def test_weights_outside_the_hub_go_by_the_hash_in_their_name() -> None:
    (offer,) = offers("gcvit_tiny.in1k", Offline())  # type: ignore[arg-type]  # it must not be used
    assert isinstance(offer, Checkpoint)
    assert offer.revision == "ac783954"
    assert offer.meta.extra["sha256_prefix"] == "ac783954"
    assert offer.files[0].url.endswith("/gcvit_tiny_224_nvidia-ac783954.pth")
    assert offer.files[0].sha256 is None


def test_weights_without_a_hash_go_by_their_etag() -> None:
    with FileServer() as server:
        path = "/ijepa/IN1K-vit.h.14-300e.pth.tar"
        server.put(path, b"one")
        mirrors = {"https://dl.fbaipublicfiles.com/": f"{server.url}/"}
        transport = network(NetworkSettings(mirrors=mirrors))
        (before,), (same,) = offers(IJEPA, transport), offers(IJEPA, transport)
        server.put(path, b"two")
        (after,) = offers(IJEPA, transport)
        assert [asked.method for asked in server.log] == ["HEAD"] * 3
    assert isinstance(before, Checkpoint)
    assert isinstance(after, Checkpoint)
    assert before == same
    assert before.revision is None
    assert before.files[0].etag
    assert after.files[0].etag != before.files[0].etag


def test_a_server_that_is_down_hides_no_other_entry(hub: HubServer) -> None:
    with FileServer() as server:
        transport = network(NetworkSettings(mirrors={"https://dl.fbaipublicfiles.com/": f"{server.url}/"}))
        found = offers("vit_huge_patch14_gap_224.in*_ijepa", transport)
    assert len(found) == 2
    assert all(isinstance(offer, Skipped) and "404" in offer.reason for offer in found)


@pytest.mark.parametrize("name", FAMILIES)
def test_building_makes_the_network_of_the_weights_and_none_of_its_memory(name: str) -> None:
    built = TimmSource().build(described(name))
    state = built.state_dict()
    real = sum(tensor.numel() for tensor in state.values() if not tensor.is_meta)
    assert real < 0.2 * sum(tensor.numel() for tensor in state.values())
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    assert built.num_classes == config.num_classes
    assert not built.training


def test_a_pruned_architecture_has_the_pruned_shapes() -> None:
    whole, pruned = (TimmSource().build(described(f"efficientnet_b2{kind}")) for kind in (".ra_in1k", "_pruned.in1k"))
    assert whole.state_dict().keys() == pruned.state_dict().keys()
    numbers = [sum(parameter.numel() for parameter in module.parameters()) for module in (whole, pruned)]
    assert numbers[1] < numbers[0]


def test_building_needs_nothing_but_the_record(tmp_path: Path) -> None:
    records = [described(name) for name in FAMILIES[:3]]
    (tmp_path / "records").write_bytes(pickle.dumps(records))
    program = (
        "import pickle, pathlib\n"
        "from filtercrawl_plugins.sources.timm.source import TimmSource\n"
        "for record in pickle.loads(pathlib.Path('records').read_bytes()):\n"
        "    print(sum(p.numel() for p in TimmSource().build(record).parameters()))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    with torch.device("meta"):
        models = [timm.create_model(name) for name in FAMILIES[:3]]
    assert run.stdout.split() == [str(sum(p.numel() for p in model.parameters())) for model in models]


@pytest.mark.parametrize("architecture", ["resnet1e9", "hf-hub:org/net", "local-dir:/etc", "../resnet18", "", None])
def test_only_the_library_itself_is_built(architecture: str | None) -> None:
    record = Checkpoint(
        name="x", files=(RemoteFile(url="https://x.example/x"),), meta=CheckpointMetadata(architecture=architecture)
    )
    with pytest.raises(UnsupportedError, match="the installed timm has no"):
        TimmSource().build(record)


SMALL = ("test_byobnet", "test_efficientnet", "test_resnet", "test_vit")
PATTERN = "timm:test_*.r160_in1k"


def weights(architecture: str, seed: int = 0) -> bytes:
    torch.manual_seed(seed)
    state = timm.create_model(architecture).state_dict()
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()})


def test_a_zoo_is_synced_and_then_costs_a_listing(hub: HubServer, run_sync: Sync, dataset: Path) -> None:
    for architecture in SMALL:
        hub.create(f"timm/{architecture}.r160_in1k", {"model.safetensors": weights(architecture)})
    first = run_sync(PATTERN)
    assert first.checkpoints["new"] == len(SMALL)
    assert not first.failures
    kept = {model_id: row for model_id, row in models(dataset).items() if row["outcome"] == "emitted"}
    assert set(kept) == {f"timm/{architecture}.r160_in1k" for architecture in SMALL}
    resnet = kept["timm/test_resnet.r160_in1k"]
    assert (resnet["license"], resnet["family"], resnet["library"]) == ("Apache-2.0", "resnet", "timm")
    assert resnet["training_datasets"] == ["imagenet-1k"]

    hub.forget()
    again = run_sync(PATTERN)
    assert again.checkpoints["unchanged"] == len(SMALL)
    assert again.bytes_fetched == 0
    assert set(hub.counts()) == {"list"}

    hub.forget()
    hub.commit("timm/test_byobnet.r160_in1k", {"README.md": b"new words"})
    words = run_sync(PATTERN)
    assert words.checkpoints["unchanged"] == len(SMALL)
    assert (words.kernels, hub.counts()["info"], hub.counts()["resolve"]) == (0, 1, 0)
    hub.forget()
    run_sync(PATTERN)
    assert set(hub.counts()) == {"list"}

    hub.commit("timm/test_efficientnet.r160_in1k", {"model.safetensors": weights("test_efficientnet", 1)})
    hub.delete("timm/test_resnet.r160_in1k")
    hub.repos["timm/test_vit.r160_in1k"].gated = "auto"
    last = run_sync(PATTERN)
    assert last.checkpoints["changed"] == 1
    assert last.checkpoints["removed"] == 1
    assert last.checkpoints["unchanged"] == 1
    after = models(dataset)
    assert after["timm/test_vit.r160_in1k"]["outcome"] == "emitted"
    assert after["timm/test_byobnet.r160_in1k"]["file_sha256"] == kept["timm/test_byobnet.r160_in1k"]["file_sha256"]
    changed = "timm/test_efficientnet.r160_in1k"
    assert after[changed]["file_sha256"] != kept[changed]["file_sha256"]
