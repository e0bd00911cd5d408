"""The source `hub` lists by pages, asks once for what is new or changed, and says of all else why it is left out."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import Checkpoint, Offer, PreviousState, Skipped
from filtercrawl.api.errors import NetworkError, UsageError
from filtercrawl.api.source import Query
from filtercrawl.transport import network
from filtercrawl_plugins.sources.hub.source import HubSource
from support.hub.server import Answer, Fault, HubServer, sha256

RESNET = json.dumps({"architecture": "resnet18", "num_classes": 10}).encode()
BERT = json.dumps({"model_type": "bert", "architectures": ["BertForMaskedLM"]}).encode()
CARD = {"license": "apache-2.0", "library_name": "timm", "pipeline_tag": "image-classification"}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


def listed(
    hub: HubServer, pattern: str, known: dict[str, PreviousState] | None = None, **settings: Any
) -> dict[str, Offer]:
    """What the source yields, by name; the log then holds what it asked."""
    hub.forget()
    query = Query(pattern=pattern, settings={"endpoint": hub.url, **settings}, previous_states=known or {})
    transport = network(cancellation=CancellationToken(sleep=lambda seconds: None))
    found = list(HubSource().checkpoints(transport, query))
    assert len({offer.name for offer in found}) == len(found)
    return {offer.name: offer for offer in found}


def remember(offers: dict[str, Offer]) -> dict[str, PreviousState]:
    """What a catalog knows after a run that read everything."""
    return {
        name: PreviousState(revision=offer.revision, outcome="skipped", reason=offer.reason)
        if isinstance(offer, Skipped)
        else PreviousState(revision=offer.revision, meta=through_json(offer))
        for name, offer in offers.items()
    }


def through_json(offer: Checkpoint) -> Any:
    """`extra` as it comes back from the catalog."""
    from dataclasses import replace

    return replace(offer.meta, extra=json.loads(json.dumps(offer.meta.extra)))


def checkpoint(offers: dict[str, Offer], name: str) -> Checkpoint:
    found = offers[name]
    assert isinstance(found, Checkpoint), found
    return found


def reasons(offers: dict[str, Offer]) -> dict[str, str]:
    return {name: offer.reason for name, offer in offers.items() if isinstance(offer, Skipped)}


def test_a_checkpoint_is_described_by_its_commit_its_bytes_and_its_card(hub: HubServer) -> None:
    index = [{"name": "a", "results": [{
        "task": {"type": "image-classification"}, "dataset": {"name": "ImageNet-1k", "type": "imagenet-1k"},
        "metrics": [{"type": "accuracy", "value": 0.75}, {"type": "broken", "value": "high"}],
    }]}]  # fmt: skip
    card = CARD | {"datasets": ["imagenet-1k"], "tags": ["arxiv:1512.03385"], "model-index": index}
    sha = hub.create("org/resnet18.a1_in1k", {"model.safetensors": b"weights", "config.json": RESNET}, card=card)
    offers = listed(hub, "org/*")
    found = checkpoint(offers, "org/resnet18.a1_in1k/model.safetensors")
    (file,) = found.files
    assert file.url == f"{hub.url}/org/resnet18.a1_in1k/resolve/{sha}/model.safetensors"
    assert (file.size, file.path) == (7, "model.safetensors")
    assert file.sha256 == file.etag == found.revision == sha256(b"weights")
    meta = found.meta
    assert (meta.task, meta.library, meta.architecture, meta.tag) == (
        "image-classification", "timm", "resnet18", "a1_in1k",
    )  # fmt: skip
    assert (meta.license, meta.license_evidence) == ("Apache-2.0", "card license: apache-2.0")
    assert (meta.training_datasets, meta.visual_category, meta.family) == (("imagenet-1k",), "natural", "resnet")
    assert (meta.paper, meta.released) == ("arxiv:1512.03385", "2024-01-02")
    assert meta.metrics == {"accuracy on ImageNet-1k": 0.75, "evidence": "card model-index"}
    assert hub.counts() == {"list": 1, "info": 1, "resolve": 1}


@pytest.mark.parametrize(
    ("stated", "expression", "evidence"),
    [
        ("mit", "MIT", "card license: mit"),
        ("openrail", None, "card license: openrail"),
        (["mit"], "MIT", "card license: mit"),
        (["mit", "apache-2.0"], None, "card license: mit, apache-2.0"),
        ({"a": 1}, None, None),
        (None, None, None),
    ],
)
def test_a_license_is_stated_or_unknown(hub: HubServer, stated: Any, expression: str, evidence: str) -> None:
    hub.create("org/net", {"model.pt": b"x"}, card={"license": stated})
    meta = checkpoint(listed(hub, "org/*"), "org/net/model.pt").meta
    assert (meta.license, meta.license_evidence) == (expression, evidence)


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"architecture": "davit_tiny"}, "davit"),
        ({"architecture": "sebotnet33ts_256"}, "botnet"),
        ({"architecture": "nest_tiny", "model_type": "timm_wrapper"}, "nest"),
        ({"architecture": "net_of_mine"}, None),
        ({"architectures": ["NetOfMine"]}, None),
        ({"model_type": "segformer", "architectures": ["SegformerModel"]}, "segformer"),
    ],
)
def test_a_config_states_the_family(hub: HubServer, config: dict[str, Any], family: str | None) -> None:
    hub.create("org/net", {"model.safetensors": b"x", "config.json": json.dumps(config).encode()}, card=CARD)
    assert checkpoint(listed(hub, "org/*"), "org/net/model.safetensors").meta.family == family


@pytest.mark.parametrize(
    ("card", "stated"),
    [
        ({"base_model": "org/a"}, {"parents": ["org/a"]}),
        ({"base_model": "org/a", "base_model_relation": "quantized"},
         {"parents": ["org/a"], "parent_relation": "quantized"}),
        ({"base_model": ["org/a", "org/b"], "base_model_relation": "merge"},
         {"parents": ["org/a", "org/b"], "parent_relation": "merge"}),
        ({"base_model": "org/a", "base_model_relation": "cousin"}, {"parents": ["org/a"]}),
        ({"base_model": {"a": 1}, "base_model_relation": ["merge"]}, {}),
        ({"base_model_relation": "finetune"}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_a_card_states_the_base_models(hub: HubServer, card: dict[str, Any], stated: dict[str, Any]) -> None:
    hub.create("org/net", {"model.pt": b"x"}, card=card)
    extra = checkpoint(listed(hub, "org/*"), "org/net/model.pt").meta.extra
    assert {key: extra[key] for key in ("parents", "parent_relation") if key in extra} == stated


def test_a_listing_has_as_many_requests_as_pages(hub: HubServer) -> None:
    hub.models_per_page = 4
    for number in range(10):
        hub.create(f"org/net{number}", {"model.pt": b"%d" % number})
        hub.create(f"other/net{number}", {"model.pt": b"other"})
    first = listed(hub, "org/*")
    assert len(first) == 10
    assert hub.counts() == {"list": 3, "info": 10}
    again = listed(hub, "org/*", remember(first))
    assert hub.counts() == {"list": 3}
    assert again == first


def test_all_that_is_skipped_is_remembered_too(hub: HubServer) -> None:
    hub.create("org/bert", {"model.safetensors": b"x", "config.json": BERT})
    hub.create("org/empty", {"notes.txt": b"x"})
    hub.create("org/gguf", {"net-q4.gguf": b"x"})
    hub.create("org/large", {"big.pt": b"x" * 100, "small.pt": b"x"}, card={"pipeline_tag": "any"})
    hub.create("org/mixed", {
        "text_encoder/model.safetensors": b"x", "text_encoder/config.json": BERT, "vae/model.safetensors": b"y",
    })  # fmt: skip
    hub.create("org/copies", {"model.safetensors": b"x", "model.fp16.safetensors": b"y", "pytorch_model.bin": b"z"})
    first = listed(hub, "author=org,max_size=50")
    assert reasons(first) == {
        "org/bert": "no convolutions: model type bert",
        "org/empty": "no weight files",
        "org/gguf": "no weight files in a format that is read, only GGUF",
        "org/large/big.pt": "of 100 bytes, asked for max_size=50",
        "org/mixed/text_encoder/model.safetensors": "no convolutions: model type bert",
        "org/copies/model.fp16.safetensors": "same weights as model.safetensors, in fewer bits",
        "org/copies/pytorch_model.bin": "same weights as model.safetensors",
    }
    asked = {asked.path for asked in hub.log}
    assert not any("bert" in path or "empty" in path for path in asked)
    assert listed(hub, "author=org,max_size=50", remember(first)) == first
    assert hub.counts() == {"list": 1}
    wider = listed(hub, "author=org,max_size=200", remember(first))
    assert isinstance(wider["org/large/big.pt"], Checkpoint)
    assert hub.counts() == {"list": 1, "info": 1}


def test_only_what_changed_is_asked_for(hub: HubServer) -> None:
    for name in ("a", "b", "c"):
        hub.create(f"org/{name}", {"model.safetensors": name.encode(), "config.json": RESNET}, card=CARD)
    first = listed(hub, "org/*")
    hub.commit("org/b", {"model.safetensors": b"new"})
    second = listed(hub, "org/*", remember(first))
    assert hub.counts() == {"list": 1, "info": 1}  # config.json is as it was
    changed = {name for name in first if checkpoint(first, name).revision != checkpoint(second, name).revision}
    assert changed == {"org/b/model.safetensors"}
    assert checkpoint(second, "org/b/model.safetensors").meta.architecture == "resnet18"


def test_a_commit_that_leaves_the_weights_alone_leaves_the_revision_alone(hub: HubServer) -> None:
    hub.create("org/net", {"model.safetensors": b"x"}, card=CARD)
    first = listed(hub, "org/*")
    hub.repos["org/net"].card["license"] = "mit"
    hub.commit("org/net", {"README.md": b"news"})
    second = listed(hub, "org/*", remember(first))
    one, two = (checkpoint(offers, "org/net/model.safetensors") for offers in (first, second))
    assert one.revision == two.revision
    assert (one.meta.license, two.meta.license) == ("Apache-2.0", "MIT")
    assert listed(hub, "org/*", remember(second)) == second
    assert hub.counts() == {"list": 1}


def test_gone_moved_and_closed_repos(hub: HubServer) -> None:
    for name in ("stays", "deleted", "moved", "gated", "private", "disabled", "emptied"):
        hub.create(f"org/{name}", {"model.pt": name.encode()})
    first = listed(hub, "org/*")
    hub.delete("org/deleted")
    hub.move("org/moved", "org/newname")
    hub.repos["org/gated"].gated = "manual"
    hub.repos["org/private"].private = True
    hub.repos["org/disabled"].disabled = True
    hub.commit("org/emptied", {"notes.txt": b"-"}, delete=["model.pt"])
    second = listed(hub, "org/*", remember(first))
    # What was deleted, hidden or emptied is not there; a closed repo is seen and keeps what the dataset has of it.
    assert second.keys() == {"org/stays/model.pt", "org/newname/model.pt", "org/gated", "org/disabled"}
    assert reasons(second)["org/gated"].startswith("gated")
    assert reasons(second)["org/disabled"] == "disabled by the Hub"
    moved, before = second["org/newname/model.pt"], first["org/moved/model.pt"]
    assert isinstance(moved, Checkpoint)
    assert moved.revision == checkpoint(first, before.name).revision


def test_one_repo_by_its_name(hub: HubServer) -> None:
    hub.create("org/old", {"model.pt": b"x", "sub/a.pt": b"a", "sub/b.pth": b"b"})
    hub.create("org/gated", {"model.pt": b"x"})
    hub.repos["org/gated"].gated = "auto"
    hub.create("org/disabled", {"model.pt": b"x"})
    hub.repos["org/disabled"].disabled = True
    assert listed(hub, "org/old").keys() == {"org/old/model.pt", "org/old/sub/a.pt", "org/old/sub/b.pth"}
    first = listed(hub, "org/old/sub/*.pt")
    assert first.keys() == {"org/old/sub/a.pt"}
    assert listed(hub, "org/old/sub").keys() == {"org/old/sub/a.pt", "org/old/sub/b.pth"}
    assert listed(hub, "org/old/sub/*.pt", remember(first)) == first
    assert hub.counts() == {"info": 1}
    hub.move("org/old", "org/new")
    assert listed(hub, "org/old/sub/a*").keys() == {"org/new/sub/a.pt"}
    assert reasons(listed(hub, "org/missing")) == {"org/missing": "not on the Hub, or private"}
    assert reasons(listed(hub, "org/disabled")) == {"org/disabled": "disabled by the Hub"}
    assert listed(hub, "org/missing", {"org/missing/model.pt": PreviousState(revision="1")}) == {}
    assert reasons(listed(hub, "org/gated"))["org/gated"].startswith("gated")


def test_a_file_that_is_named_is_offered_in_any_format(hub: HubServer) -> None:
    hub.create("org/gguf", {"net.gguf": b"x", "notes.txt": b"x"})
    first = listed(hub, "org/gguf/net.gguf")
    assert isinstance(first["org/gguf/net.gguf"], Checkpoint)
    assert listed(hub, "org/gguf/net.gguf", remember(first)) == first


def test_a_token_opens_gated_and_private_repos_where_they_are_wanted(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    for name in ("gated", "private"):
        hub.create(f"org/{name}", {"model.pt": name.encode()})
    hub.repos["org/gated"].gated = "manual"
    hub.repos["org/private"].private = True
    refused = listed(hub, "org/*", gated=True, private=True)
    assert reasons(refused).keys() == refused.keys() == {"org/gated"}
    assert listed(hub, "org/*", remember(refused), gated=True) == refused
    assert hub.counts() == {"list": 1}  # a closed gate is not tried again at the same commit
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    offers = listed(hub, "org/*", gated=True, private=True)
    assert offers.keys() == {"org/gated/model.pt", "org/private/model.pt"}
    assert "hf_secret" not in repr(offers)
    assert reasons(listed(hub, "org/*")).keys() == {"org/gated", "org/private"}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("timm/*", {"timm/a", "timm/ab"}),
        ("timm/a?", {"timm/ab"}),
        ("tag=image-segmentation", {"seg/c"}),
        ("task=image-classification", {"timm/a", "timm/ab"}),
        ("library=timm,license=MIT", {"timm/ab"}),
        ("dataset=coco", {"seg/c"}),
        ("author=timm,since=2024-01-03", {"timm/ab"}),
        ("min_size=2,author=timm", {"timm/ab"}),
    ],
)
def test_filters(hub: HubServer, pattern: str, found: set[str]) -> None:
    task = "image-classification"
    hub.create("timm/a", {"m.pt": b"1"}, card={"license": "apache-2.0", "library_name": "timm", "pipeline_tag": task})
    hub.create("timm/ab", {"m.pt": b"22"}, card={"license": "mit", "library_name": "timm", "pipeline_tag": task})
    hub.create("seg/c", {"m.pt": b"333"}, card={"tags": ["image-segmentation"], "datasets": ["coco"]})
    offers = listed(hub, pattern)
    assert {name.removesuffix("/m.pt") for name, o in offers.items() if isinstance(o, Checkpoint)} == found


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "neither a repository nor a filter"),
        ("timm", "neither a repository nor a filter"),
        ("*/resnet", "not the name of an owner"),
        ("org/re po", "not the name of a repository"),
        ("org/net*/x.pt", "a path needs a single repository"),
        ("colour=red", "there is no filter 'colour'; known are author, dataset, library"),
        ("task=a,task=b", "given twice"),
        ("min_size=huge", "not a size"),
        ("since=yesterday", "not a date"),
    ],
)
def test_wrong_patterns_name_the_right_ones(pattern: str, problem: str) -> None:
    with pytest.raises(UsageError, match="hub: ") as caught:
        HubSource().canonical(pattern)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_spelling_of_the_filters() -> None:
    spell = HubSource().canonical
    assert spell("task=x, license=mit") == spell("license=mit,task=x")


@pytest.mark.parametrize("settings", [{"endpoint": "ftp://x"}, {"gated": "yes"}])
def test_wrong_settings(hub: HubServer, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"sources\.hub"):
        listed(hub, "org/*", **settings)


def test_shards_are_one_checkpoint_and_their_revision_is_of_all(hub: HubServer) -> None:
    index = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}).encode()
    files = {f"model-0000{n}-of-00002.safetensors": b"%d" % n for n in (1, 2)}
    hub.create("org/net", {"model.safetensors.index.json": index, **files})
    first = listed(hub, "org/*")
    found = checkpoint(first, "org/net/model.safetensors.index.json")
    assert [file.path for file in found.files] == ["model.safetensors.index.json", *files]
    assert [file.sha256 for file in found.files[1:]] == [sha256(b"1"), sha256(b"2")]
    hub.commit("org/net", {"model-00002-of-00002.safetensors": b"new"})
    assert checkpoint(listed(hub, "org/*"), found.name).revision != found.revision
    assert first.keys() == {found.name}


def test_a_small_file_outside_lfs_has_its_blob_for_a_revision(hub: HubServer) -> None:
    hub.create("org/net", {"net.th": b"small"})
    found = checkpoint(listed(hub, "org/*"), "org/net/net.th")
    assert found.files[0].sha256 is None
    assert found.revision == "git:" + hashlib.sha1(b"blob 5\0small").hexdigest()


def test_text_from_cards_is_data(hub: HubServer) -> None:
    card = {
        "license": "mit\n# not a heading", "datasets": ["fine", "a\x1b[31m", "x" * 5000, 7], "pipeline_tag": ["odd"],
        "model-index": "no list",
    }  # fmt: skip
    hub.create("org/net", {"model.pt": b"x", "config.json": b"[" * 5000}, card=card, library_name="tab\there")
    meta = checkpoint(listed(hub, "org/*"), "org/net/model.pt").meta
    assert meta.training_datasets == ("fine",)
    assert meta.task is None
    assert meta.library == "tab here"
    assert meta.license is None
    assert meta.license_evidence == "card license: mit # not a heading"
    assert (meta.metrics, meta.architecture) == ({}, None)


def test_an_integer_that_no_float_holds_costs_its_own_value_only(hub: HubServer) -> None:
    results = [{"task": {"type": "t"}, "dataset": {"type": "d", "name": "d"}, "metrics": [
        {"type": "top1", "value": 10**400}, {"type": "top5", "value": 90},
    ]}]  # fmt: skip
    card = {"model-index": [{"name": "net", "results": results}]}
    config = json.dumps({"model_type": "resnet", "hidden_size": 10**400}).encode()
    hub.create("org/net", {"model.safetensors": b"x", "config.json": config}, card=card)
    meta = checkpoint(listed(hub, "org/*"), "org/net/model.safetensors").meta
    assert meta.extra["config"] is None
    assert {name: value for name, value in meta.metrics.items() if name != "evidence"} == {"top5 on d": 90}


def test_a_card_that_the_client_cannot_take_costs_its_own_repo_only(hub: HubServer) -> None:
    hub.create("org/odd", {"model.pt": b"x"}, cardData={"ignore_metadata_errors": True})
    hub.create("org/sound", {"model.pt": b"y"})
    offers = listed(hub, "org/*")
    assert reasons(offers) == {"org/odd": "the Hub's description of it is invalid"}
    assert "org/sound/model.pt" in offers


def test_paths_that_could_be_taken_for_something_else(hub: HubServer) -> None:
    hub.create("org/net", {"fine.pt": b"1", "a\nb.pt": b"2", "../up.pt": b"3", "c:\\d.pt": b"4"})
    offers = listed(hub, "org/*")
    assert [name for name, offer in offers.items() if isinstance(offer, Checkpoint)] == ["org/net/fine.pt"]
    assert set(reasons(offers).values()) == {"its path is not a plain relative path"}
    assert all(name.isprintable() for name in offers)
    assert listed(hub, "org/*", remember(offers)) == offers
    assert hub.counts() == {"list": 1}


def test_a_repo_on_two_pages_is_offered_once(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.models_per_page = 2
    for name in "abc":
        hub.create(f"org/{name}", {"model.pt": name.encode()})
    pages = hub._list

    def shifting(asked: Any) -> Answer:
        answer = pages(asked)
        if "cursor" not in asked.query:
            hub.create("org/new", {"model.pt": b"new"})  # pushes the last of this page onto the next one
        return answer

    monkeypatch.setattr(hub, "_list", shifting)
    assert listed(hub, "org/*").keys() == {f"org/{name}/model.pt" for name in "abc"}


def test_passing_faults_change_nothing(hub: HubServer) -> None:
    for name in "ab":
        hub.create(f"org/{name}", {"model.safetensors": name.encode(), "config.json": RESNET}, card=CARD)
    quiet = listed(hub, "org/*")
    hub.fail("/api/models", Fault(status=503), Fault(cut=20), Fault(cut=20, end="reset"))
    hub.fail("/api/models/org/a", Fault(status=500), Fault(cut=20, end="reset"))
    hub.fail("/org/b/resolve/*", Fault(status=429, headers={"Retry-After": "1"}), Fault(cut=3))
    assert listed(hub, "org/*") == quiet
    assert hub.counts() == Counter(list=4, info=4, resolve=4)


def test_a_repo_that_cannot_be_asked_for_makes_the_listing_incomplete_and_stops_no_other(hub: HubServer) -> None:
    for name in "abc":
        hub.create(f"org/{name}", {"model.pt": name.encode()})
    hub.fail("/api/models/org/b", *[Fault(status=500)] * 50)
    query = Query(pattern="org/*", settings={"endpoint": hub.url})
    offers = HubSource().checkpoints(network(cancellation=CancellationToken(sleep=lambda seconds: None)), query)
    found: list[str] = []
    with pytest.raises(NetworkError, match="org/b") as caught:
        found.extend(offer.name for offer in offers)
    assert sorted(found) == ["org/a/model.pt", "org/c/model.pt"]
    assert "\n" not in str(caught.value)
