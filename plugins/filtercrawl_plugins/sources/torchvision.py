"""The source `torchvision`: the weights that the installed torchvision lists."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile
from filtercrawl.api.errors import UnsupportedError
from filtercrawl.api.extras import missing_extra
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.metadata.datasets import torchvision_datasets
from filtercrawl_plugins.metadata.families import family
from filtercrawl_plugins.metadata.licenses import spdx_with_evidence
from filtercrawl_plugins.metadata.tasks import torchvision_task
from filtercrawl_plugins.metadata.visual_categories import visual_category
from filtercrawl_plugins.sources.shared.query import match_names, read_visual_categories
from filtercrawl_plugins.sources.shared.url_revision import hash_from_url

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import WeightsEnum  # type: ignore[import-untyped]  # it ships no types

# Arguments that make a builder construct the network of the weights without loading them: most builders default to a
# different network. Only those that a builder has are passed. `init_weights` would compute values that are discarded.
_BUILD_ARGUMENTS: Final[Mapping[str, Any]] = {
    "weights": None,
    "weights_backbone": None,
    "aux_loss": True,
    "quantize": False,
    "aux_logits": True,
    "init_weights": False,
}
# Sides in pixels of a sample image and of an image for optical flow (RAFT needs a multiple of 8, at least 128), and
# frames of a sample clip.
_IMAGE_SIZE: Final = 224
_FLOW_IMAGE_SIZE: Final = 128
_N_FRAMES: Final = 16


class TorchvisionSource:
    """Offers `MODEL/WEIGHTS` (`resnet50/IMAGENET1K_V2`) for every entry of the installed torchvision.

    Listing uses no network. The revision is the hash in the file's name. A file that several entries share is offered
    once, under the first name; the other names are aliases.

    Settings in `[sources.torchvision]`: `visual_category`.
    """

    name = "torchvision"
    setting_names = ("visual_category",)

    @property
    def unavailable(self) -> str | None:
        """What has to be installed first; None if nothing is missing."""
        return missing_extra("zoos", "torchvision")

    def offers(self) -> int:
        """Return the number of entries."""
        from torchvision.models import get_model_weights, list_models

        return sum(len(get_model_weights(model)) for model in list_models())

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:  # noqa: ARG002 - no network here
        """Yield the entries that match, sorted by model; raises UsageError if none matches."""
        from torchvision.models import get_model_weights, list_models

        categories = read_visual_categories(self.name, query)
        models = {model: get_model_weights(model) for model in list_models()}
        entries = {
            f"{model}/{weights.name}": weights for model, weights_enum in models.items() for weights in weights_enum
        }
        selected = match_names(self.name, query, entries, separator="/")
        by_url: dict[str, list[str]] = {}
        for name, weights in entries.items():
            by_url.setdefault(weights.url, []).append(name)
        for url, names in by_url.items():
            if not selected.isdisjoint(names):
                yield _make_checkpoint(names, url, entries[names[0]], categories)

    def recall(self, name: str) -> Checkpoint | None:
        """Return the record of `MODEL/WEIGHTS` or `MODEL`, None if torchvision does not have it; uses no network."""
        from torchvision.models import get_model_builder, get_model_weights, list_models

        model, _, weights_name = name.partition("/")
        if model not in list_models():
            return None
        weights = {weights.name: weights for weights in get_model_weights(model)}
        if weights_name and weights_name not in weights:
            return None
        module = get_model_builder(model).__module__
        meta = CheckpointMetadata(
            architecture=model,
            family=family(model.removeprefix("quantized_"), module.rpartition(".")[2]),
            library="torchvision",
            extra=_extra({}, module, None),
        )
        return Checkpoint(name=name, files=(RemoteFile(url=f"torchvision:{name}"),), meta=meta)

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        """Build the architecture on the meta device; raises UnsupportedError if the library does not have it.

        A quantized network is built as its float version, whose kernels have the same names and shapes.
        """
        from torchvision.models import get_model_builder, list_models

        from filtercrawl.extraction.architecture import on_meta

        architecture = checkpoint.meta.architecture or ""
        if architecture not in list_models():
            raise UnsupportedError(f"{checkpoint.name}: the installed torchvision has no {architecture!r}; update it")
        builder = get_model_builder(architecture)
        parameters = set(inspect.signature(builder).parameters)
        if architecture.removeprefix("quantized_") in ("googlenet", "inception_v3"):
            parameters |= {"aux_logits", "init_weights"}
        return on_meta(lambda: builder(**{key: value for key, value in _BUILD_ARGUMENTS.items() if key in parameters}))

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> tuple[Any, ...]:  # noqa: ARG002 - protocol
        """Return the arguments of one call, batch size 1, on the meta device: image, clip, two images, or a list."""
        import torch  # heavy, and not needed to list

        kind = str(checkpoint.meta.extra.get("kind"))
        image = torch.empty((1, 3, _IMAGE_SIZE, _IMAGE_SIZE), device="meta")
        if kind == "video":
            return (torch.empty((1, 3, _N_FRAMES, _IMAGE_SIZE, _IMAGE_SIZE), device="meta"),)
        if kind == "optical_flow":
            return tuple(torch.empty((1, 3, _FLOW_IMAGE_SIZE, _FLOW_IMAGE_SIZE), device="meta") for _ in range(2))
        return ([image[0]],) if kind == "detection" else (image,)


def _make_checkpoint(names: list[str], url: str, weights: WeightsEnum, categories: Mapping[str, str]) -> Checkpoint:
    architecture, _, weights_name = names[0].partition("/")
    weights_meta = weights.meta
    datasets = torchvision_datasets(weights_name, weights_meta.get("recipe"))
    module = type(weights).__module__
    license_, evidence = spdx_with_evidence(weights_meta.get("license"), "torchvision meta license")
    url_hash = hash_from_url(url)
    sha256 = url_hash if url_hash is not None and len(url_hash) == 64 else None
    meta = CheckpointMetadata(
        task=torchvision_task(module),
        training_datasets=datasets,
        visual_category=visual_category(datasets, categories),
        architecture=architecture,
        family=family(architecture.removeprefix("quantized_"), module.rpartition(".")[2]),
        tag=weights_name,
        library="torchvision",
        license=license_,
        license_evidence=evidence,
        metrics=_metrics(weights_meta),
        extra={key: value for key, value in _extra(weights_meta, module, url_hash).items() if value is not None},
    )
    file = RemoteFile(url=url, sha256=sha256, path=url.rpartition("/")[2])
    return Checkpoint(name=names[0], revision=url_hash, files=(file,), aliases=tuple(names[1:]), meta=meta)


def _metrics(weights_meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the finite metrics that the library states, by dataset, and `evidence`; {} if there are none."""
    finite = {
        dataset: {name: value for name, value in values.items() if math.isfinite(value)}
        for dataset, values in (weights_meta.get("_metrics") or {}).items()
    }
    metrics = {dataset: values for dataset, values in finite.items() if values}
    return {**metrics, "evidence": "torchvision meta"} if metrics else {}


def _extra(weights_meta: Mapping[str, Any], module: str, url_hash: str | None) -> dict[str, Any]:
    package = module.removeprefix("torchvision.models.").rpartition(".")[0]
    return {
        "kind": package or "classification",
        "num_params": weights_meta.get("num_params"),
        "n_categories": len(weights_meta.get("categories") or ()) or None,
        "recipe": weights_meta.get("recipe"),
        "backend": weights_meta.get("backend"),
        "unquantized": str(weights_meta["unquantized"]) if weights_meta.get("unquantized") else None,
        "sha256_prefix": url_hash,
    }


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    """Yield the source of this plugin."""
    yield TorchvisionSource()
