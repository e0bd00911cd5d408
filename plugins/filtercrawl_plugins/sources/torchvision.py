"""The source `torchvision`: the weights that the installed torchvision names."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile
from filtercrawl.api.errors import UnsupportedError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.metadata.datasets import torchvision_datasets
from filtercrawl_plugins.metadata.families import family
from filtercrawl_plugins.metadata.licenses import spdx_with_evidence
from filtercrawl_plugins.metadata.tasks import torchvision_task
from filtercrawl_plugins.metadata.visual_categories import visual_category
from filtercrawl_plugins.sources.shared.query import check_settings, match_names, read_visual_categories
from filtercrawl_plugins.sources.shared.url_revision import hash_from_url

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import WeightsEnum  # type: ignore[import-untyped]  # it ships no types

# Without weights most builders make another network than the one the weights belong to. Only those arguments that a
# builder knows are given; `init_weights` computes what is thrown away.
_ARGUMENTS: Final[Mapping[str, Any]] = {
    "weights": None,
    "weights_backbone": None,
    "aux_loss": True,
    "quantize": False,
    "aux_logits": True,
    "init_weights": False,
}
_IMAGE: Final = 224
# RAFT halves its input three times and correlates what is left.
_FLOW: Final = 128
_FRAMES: Final = 16


class TorchvisionSource:
    """Offers `MODEL/WEIGHTS` (`resnet50/IMAGENET1K_V2`) for every entry of the installed torchvision.

    The list is the library's own: listing asks nothing of the network. A file's name holds a hash, which is the
    revision. The file of several entries is offered once, under the first name, the others are its aliases.
    """

    name = "torchvision"

    def offers(self) -> int:
        """Count the entries of the library."""
        from torchvision.models import get_model_weights, list_models

        return sum(len(get_model_weights(model)) for model in list_models())

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:  # noqa: ARG002 - no network here
        """Yield the entries that match, sorted by model; raises UsageError where none does."""
        from torchvision.models import get_model_weights, list_models

        check_settings(self.name, query, "visual_category")
        categories = read_visual_categories(self.name, query)
        models = {model: get_model_weights(model) for model in list_models()}
        entries = {f"{model}/{weights.name}": weights for model, every in models.items() for weights in every}
        wanted = match_names(self.name, query, entries, separator="/")
        by_url: dict[str, list[str]] = {}
        for name, weights in entries.items():
            by_url.setdefault(weights.url, []).append(name)
        for url, names in by_url.items():
            if not wanted.isdisjoint(names):
                yield _offer(names, url, entries[names[0]], categories)

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        """Build the architecture on the meta device; raises UnsupportedError where the library does not have it.

        A quantised network is built as the one it was made from: the names and shapes of its kernels are the same.
        """
        from torchvision.models import get_model_builder, list_models

        from filtercrawl.extraction.architecture import on_meta

        architecture = checkpoint.meta.architecture or ""
        if architecture not in list_models():
            raise UnsupportedError(f"{checkpoint.name}: the installed torchvision has no {architecture!r}; update it")
        builder = get_model_builder(architecture)
        known = set(inspect.signature(builder).parameters)
        if architecture.removeprefix("quantized_") in ("googlenet", "inception_v3"):
            known |= {"aux_logits", "init_weights"}
        return on_meta(lambda: builder(**{key: value for key, value in _ARGUMENTS.items() if key in known}))

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> tuple[Any, ...]:  # noqa: ARG002 - by its name alone
        """Return the arguments of one call, batch 1, on the meta device: an image, a clip, two images or a list."""
        import torch  # heavy, and not needed to list

        kind = str(checkpoint.meta.extra.get("kind"))
        image = torch.empty((1, 3, _IMAGE, _IMAGE), device="meta")
        if kind == "video":
            return (torch.empty((1, 3, _FRAMES, _IMAGE, _IMAGE), device="meta"),)
        if kind == "optical_flow":
            return tuple(torch.empty((1, 3, _FLOW, _FLOW), device="meta") for _ in range(2))
        return ([image[0]],) if kind == "detection" else (image,)


def _offer(names: list[str], url: str, weights: WeightsEnum, categories: Mapping[str, str]) -> Checkpoint:
    architecture, _, recipe = names[0].partition("/")
    stated = weights.meta
    datasets = torchvision_datasets(recipe)
    module = type(weights).__module__
    license_, evidence = spdx_with_evidence(stated.get("license"), "torchvision meta license")
    named = hash_from_url(url)
    whole = named if named is not None and len(named) == 64 else None
    meta = CheckpointMetadata(
        task=torchvision_task(module),
        training_datasets=datasets,
        visual_category=visual_category(datasets, categories),
        architecture=architecture,
        family=family(architecture.removeprefix("quantized_"), module.rpartition(".")[2]),
        tag=recipe,
        library="torchvision",
        license=license_,
        license_evidence=evidence,
        metrics=_metrics(stated),
        extra={key: value for key, value in _extra(stated, module, named).items() if value is not None},
    )
    file = RemoteFile(url=url, sha256=whole, path=url.rpartition("/")[2])
    return Checkpoint(name=names[0], revision=named, files=(file,), aliases=tuple(names[1:]), meta=meta)


def _metrics(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return the accuracies that the library states, by dataset, with the evidence; nothing where a number is none."""
    finite = {
        dataset: {name: value for name, value in values.items() if math.isfinite(value)}
        for dataset, values in (stated.get("_metrics") or {}).items()
    }
    sound = {dataset: values for dataset, values in finite.items() if values}
    return {**sound, "evidence": "torchvision meta"} if sound else {}


def _extra(stated: Mapping[str, Any], module: str, named: str | None) -> dict[str, Any]:
    package = module.removeprefix("torchvision.models.").rpartition(".")[0]
    return {
        "kind": package or "classification",
        "num_params": stated.get("num_params"),
        "n_categories": len(stated.get("categories") or ()) or None,
        "recipe": stated.get("recipe"),
        "backend": stated.get("backend"),
        "unquantized": str(stated["unquantized"]) if stated.get("unquantized") else None,
        "sha256_prefix": named,
    }


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield TorchvisionSource()
