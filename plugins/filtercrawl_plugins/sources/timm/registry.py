"""The pretrained entries of the installed timm: where their weights lie, and what it says of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.checkpoint import CheckpointMetadata
from filtercrawl_plugins.metadata.datasets import timm_datasets
from filtercrawl_plugins.metadata.families import family
from filtercrawl_plugins.metadata.licenses import spdx_with_evidence
from filtercrawl_plugins.metadata.tasks import timm_task
from filtercrawl_plugins.metadata.visual_categories import visual_category
from filtercrawl_plugins.sources.shared.url_revision import hash_from_url

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

_ARXIV: Final = re.compile(r"arXiv:\d{4}\.\d{4,5}(v\d+)?")


@dataclass(frozen=True)
class TimmEntry:
    """One file of weights. names: of the entries it belongs to, the one of its repository first."""

    names: tuple[str, ...]
    config: PretrainedCfg

    @property
    def repo(self) -> str | None:
        """The repository on the Hub, `org/name`; None where the weights lie at a URL alone."""
        return self.config.hf_hub_id or None

    @property
    def file(self) -> str | None:
        """The file in the repository, where timm names one."""
        return self.config.hf_hub_filename or None

    @cached_property
    def url(self) -> str:
        """The address of weights outside the Hub; timm may give a file name beside it."""
        url = self.config.url or ""
        return url if isinstance(url, str) else url[0]

    def meta(self, categories: Mapping[str, str]) -> CheckpointMetadata:
        """Say what timm and its tag tell. categories: the user's own, dataset -> visual category."""
        from timm.models import model_entrypoint

        config = self.config
        architecture, _, tag = self.names[0].partition(".")
        module = model_entrypoint(architecture).__module__.rpartition(".")[2]
        datasets = timm_datasets(tag)
        license_, evidence = spdx_with_evidence(config.license, "timm cfg license")
        return CheckpointMetadata(
            task=timm_task(config.num_classes, datasets),
            training_datasets=datasets,
            visual_category=visual_category(datasets, categories),
            architecture=architecture,
            family=family(architecture, module),
            tag=tag or None,
            library="timm",
            license=license_,
            license_evidence=evidence,
            paper=_paper(config.paper_ids),
            extra={key: value for key, value in self._extra().items() if value is not None},
        )

    def _extra(self) -> dict[str, Any]:
        return {
            "num_classes": self.config.num_classes,
            "input_size": list(self.config.input_size),
            "origin_url": self.config.origin_url,
            "sha256_prefix": None if self.repo else hash_from_url(self.url),
        }


def list_entries() -> list[TimmEntry]:
    """Return every file of pretrained weights that the installed timm names, in its order; asks no network."""
    import timm

    shared: dict[tuple[str, str], dict[str, PretrainedCfg]] = {}
    for name in timm.list_pretrained():
        config = timm.get_pretrained_cfg(name)
        assert config is not None, name
        place = (config.hf_hub_id or "", str(config.hf_hub_filename if config.hf_hub_id else config.url))
        shared.setdefault(place, {})[name] = config
    return [_entry(repo.rpartition("/")[2], configs) for (repo, _), configs in shared.items()]


def _entry(own: str, configs: Mapping[str, PretrainedCfg]) -> TimmEntry:
    """Return the entry of one file. own: the name of its repository, which comes first."""
    names = tuple(sorted(configs, key=lambda name: name != own))
    return TimmEntry(names, configs[names[0]])


def _paper(stated: str | tuple[str, ...] | None) -> str | None:
    """Return the first arXiv id of a configuration, `arXiv:2301.00808`."""
    ids = (stated,) if isinstance(stated, str) else stated or ()
    return next((one for one in ids if _ARXIV.fullmatch(one)), None)
