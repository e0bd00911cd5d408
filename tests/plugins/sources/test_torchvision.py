"""The source `torchvision`: every entry of the installed library, and the networks they belong to."""

from __future__ import annotations

import io
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.hub import HASH_REGEX
from torchvision.models import get_model, get_model_weights, list_models

from conftest import Sync
from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, RemoteFile
from filtercrawl.api.errors import UnsupportedError, UsageError
from filtercrawl.api.source import Query, SupportsBuild
from filtercrawl.extraction.architecture import trace
from filtercrawl_plugins.sources.torchvision import TorchvisionSource
from support.http_server import FileServer
from support.zoo_files import layers, models

pytestmark = pytest.mark.usefixtures("forked_children")

FAMILIES = (
    *("resnet18/IMAGENET1K_V1", "vgg11/IMAGENET1K_V1", "densenet121/IMAGENET1K_V1", "regnet_y_400mf/IMAGENET1K_V2"),
    *("efficientnet_b0/IMAGENET1K_V1", "convnext_tiny/IMAGENET1K_V1", "vit_b_16/IMAGENET1K_V1", "swin_t/IMAGENET1K_V1"),
    *("googlenet/IMAGENET1K_V1", "inception_v3/IMAGENET1K_V1", "quantized_shufflenet_v2_x0_5/IMAGENET1K_FBGEMM_V1"),
    *("deeplabv3_mobilenet_v3_large/COCO_WITH_VOC_LABELS_V1", "ssdlite320_mobilenet_v3_large/COCO_V1"),
    *(
        "r3d_18/KINETICS400_V1",
        "s3d/KINETICS400_V1",
        "raft_small/C_T_V2",
        "fasterrcnn_mobilenet_v3_large_320_fpn/COCO_V1",
    ),
)


class Offline:
    """A transport that nobody may use."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"asked the network for {name}")


def offers(pattern: str | None = None, **settings: object) -> dict[str, Checkpoint]:
    query = Query(pattern=pattern, settings=settings)
    found = TorchvisionSource().checkpoints(Offline(), query)  # type: ignore[arg-type]  # it must not be used
    return {offer.name: offer for offer in found if isinstance(offer, Checkpoint)}


def entries() -> list[str]:
    return [f"{model}/{weights.name}" for model in list_models() for weights in get_model_weights(model)]


def test_every_entry_of_the_library_is_offered_without_the_network() -> None:
    found = offers()
    assert sorted(name for offer in found.values() for name in (offer.name, *offer.aliases)) == sorted(entries())
    assert TorchvisionSource().offers() == len(entries())
    urls = [offer.files[0].url for offer in found.values()]
    assert len(set(urls)) == len(urls)


def test_every_offer_is_well_formed_and_says_what_the_library_says() -> None:
    for name, offer in offers().items():
        architecture, weights = name.split("/")
        stated = get_model_weights(architecture)[weights]
        (file,) = offer.files
        assert name.isascii()
        assert name.isprintable()
        assert (file.url, offer.meta.architecture, offer.meta.tag) == (stated.url, architecture, weights)
        assert file.url.startswith("https://")
        assert offer.meta.extra["num_params"] == stated.meta["num_params"]
        numbers = {name: value for values in stated.meta["_metrics"].values() for name, value in values.items()}
        if all(map(math.isfinite, numbers.values())):
            assert offer.meta.metrics == {**stated.meta["_metrics"], "evidence": "torchvision meta"}
        else:  # weights without a head have no accuracy
            assert offer.meta.metrics == {}
        assert json.loads(json.dumps(dict(offer.meta.extra), allow_nan=False)) == offer.meta.extra
        assert offer.meta.training_datasets, name
        assert offer.meta.license == ("CC-BY-NC-4.0" if "_SWAG_" in weights else None)
        assert (offer.meta.license_evidence is not None) == ("license" in stated.meta)


def test_the_revision_is_the_hash_in_the_name_of_the_file() -> None:
    for name, offer in offers().items():
        url = offer.files[0].url
        by_torch = HASH_REGEX.search(url.rpartition("/")[2])
        expected = by_torch[1] if by_torch else url.rpartition("_")[2].removesuffix(".pth")
        assert offer.revision == expected == offer.meta.extra["sha256_prefix"], name
        assert len(expected) >= 8
        assert offer.files[0].sha256 is None


def test_patterns() -> None:
    both = {"resnet50/IMAGENET1K_V1", "resnet50/IMAGENET1K_V2"}
    assert offers("resnet50").keys() == both
    assert offers("resnet50/IMAGENET1K_V2").keys() == {"resnet50/IMAGENET1K_V2"}
    assert offers("*/IMAGENET1K_V2").keys() == {name for name in entries() if name.endswith("/IMAGENET1K_V2")}
    assert both < offers("resnet*").keys()
    with pytest.raises(UsageError, match="no name matches 'resnte50'"):
        offers("resnte50")


def test_tasks_and_datasets() -> None:
    found = offers()

    def said(name: str) -> tuple[str | None, tuple[str, ...], str | None, str | None]:
        meta = found[name].meta
        return meta.task, meta.training_datasets, meta.visual_category, meta.family

    assert said("resnet50/IMAGENET1K_V2") == ("image-classification", ("imagenet-1k",), "natural", "resnet")
    assert said("vit_b_16/IMAGENET1K_SWAG_E2E_V1")[1] == ("instagram-3.6b", "imagenet-1k")
    assert said("maskrcnn_resnet50_fpn/COCO_V1") == (
        "image-segmentation", ("imagenet-1k", "coco"), "natural", "rcnn",
    )  # fmt: skip
    for name in ("fcn_resnet50/COCO_WITH_VOC_LABELS_V1", "ssd300_vgg16/COCO_V1", "fcos_resnet50_fpn/COCO_V1"):
        assert said(name)[1] == ("imagenet-1k", "coco"), name
    # Their recipes name no weights of a backbone.
    for name in ("ssdlite320_mobilenet_v3_large/COCO_V1", "fasterrcnn_resnet50_fpn_v2/COCO_V1"):
        assert said(name)[1] == ("coco",), name
    assert said("keypointrcnn_resnet50_fpn/COCO_LEGACY")[1] == ("coco",)
    assert said("keypointrcnn_resnet50_fpn/COCO_V1")[0] == "keypoint-detection"
    assert said("fcn_resnet50/COCO_WITH_VOC_LABELS_V1")[0] == "image-segmentation"
    assert said("swin3d_b/KINETICS400_IMAGENET22K_V1")[:2] == ("video-classification", ("imagenet-22k", "kinetics-400"))
    assert said("raft_small/C_T_V2") == (None, ("flying-chairs", "flying-things-3d"), None, "raft")
    assert said("quantized_resnet18/IMAGENET1K_FBGEMM_V1") == said("resnet18/IMAGENET1K_V1")


@pytest.mark.parametrize("name", FAMILIES)
def test_building_takes_none_of_the_networks_memory(name: str) -> None:
    source = TorchvisionSource()
    assert isinstance(source, SupportsBuild)
    state = source.build(offers(name)[name]).state_dict()
    real = sum(tensor.numel() for tensor in state.values() if not tensor.is_meta)
    assert real < 0.2 * sum(tensor.numel() for tensor in state.values())


@pytest.mark.parametrize(
    "name", ["resnet18", "googlenet", "inception_v3", "fcn_resnet50", "ssdlite320_mobilenet_v3_large"]
)
def test_the_network_is_the_one_that_its_weights_fit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library builds a network for given weights: what it then loads must be what is built here."""
    (weights, *_) = get_model_weights(name)
    asked: list[torch.nn.Module] = []

    class Enough(Exception):  # noqa: N818 - not an error
        pass

    def load(module: torch.nn.Module, *args: object, **options: object) -> None:
        asked.append(module)
        raise Enough

    # The weights themselves lie on the network; the network they are loaded into does not.
    monkeypatch.setattr(type(weights), "get_state_dict", lambda self, **options: {})
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", load)
    with pytest.raises(Enough):
        get_model(name, weights=weights)
    (wanted,) = asked
    built = TorchvisionSource().build(offers(f"{name}/{weights.name}")[f"{name}/{weights.name}"])
    shapes = {key: tensor.shape for key, tensor in wanted.state_dict().items()}
    ours = {key: tensor.shape for key, tensor in built.state_dict().items()}
    convolutions = {key for key, shape in shapes.items() if len(shape) >= 3}
    assert convolutions
    assert {key: shapes[key] for key in convolutions} == {key: ours.get(key) for key in convolutions}


@pytest.mark.parametrize(
    "name", ["resnet18/IMAGENET1K_V1", "r3d_18/KINETICS400_V1", "raft_small/C_T_V2", "inception_v3/IMAGENET1K_V1"]
)
def test_the_sample_runs_through_the_network(name: str) -> None:
    source, record = TorchvisionSource(), offers(name)[name]
    module = source.build(record)
    structure = trace(module, source.sample(record, module))
    assert structure.problem is None
    depths = [fact.depth for fact in structure.facts.values() if fact.depth is not None]
    assert len(depths) > 10


def test_building_needs_nothing_but_the_record(tmp_path: Path) -> None:
    names = FAMILIES[:4]
    (tmp_path / "records").write_bytes(pickle.dumps([offers(name)[name] for name in names]))
    program = (
        "import pickle, pathlib\n"
        "from filtercrawl_plugins.sources.torchvision import TorchvisionSource\n"
        "for record in pickle.loads(pathlib.Path('records').read_bytes()):\n"
        "    print(sum(p.numel() for p in TorchvisionSource().build(record).parameters()))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    expected = [get_model_weights(name.split("/")[0])[name.split("/")[1]].meta["num_params"] for name in names]
    assert run.stdout.split() == [str(number) for number in expected]


def test_what_the_library_does_not_have_is_not_built() -> None:
    record = Checkpoint(
        name="x", files=(RemoteFile(url="https://x.example/x"),), meta=CheckpointMetadata(architecture="resnet1e9")
    )
    with pytest.raises(UnsupportedError, match="the installed torchvision has no 'resnet1e9'"):
        TorchvisionSource().build(record)


def test_weights_are_synced_from_a_mirror_and_then_cost_no_request(run_sync: Sync, dataset: Path) -> None:
    (offer,) = offers("squeezenet1_1").values()
    network = get_model("squeezenet1_1", weights=None)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    with FileServer() as server:
        server.put(f"/models/{offer.files[0].path}", buffer.getvalue())
        mirrors = {"https://download.pytorch.org/": f"{server.url}/"}
        first = run_sync("torchvision:squeezenet1_1", mirrors=mirrors)
        assert first.checkpoints["new"] == 1
        assert not first.failures
        asked = len(server.log)
        again = run_sync("torchvision:squeezenet1_1", mirrors=mirrors)
        assert again.checkpoints["unchanged"] == 1
        assert len(server.log) == asked
    row = models(dataset)["torchvision/squeezenet1_1/IMAGENET1K_V1"]
    assert (row["outcome"], row["revision"], row["url"]) == ("emitted", offer.revision, offer.files[0].url)
    stored = layers(dataset)
    assert stored
    for layer_id, weight in stored.items():
        key = layer_id.partition("#")[2]
        assert weight.tobytes() == network.state_dict()[key].numpy().tobytes(), key
