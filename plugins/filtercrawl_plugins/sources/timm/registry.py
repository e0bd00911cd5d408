"""The pretrained entries of the installed timm: addresses and metadata of their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.checkpoint import CheckpointMetadata
from filtercrawl_plugins.metadata.datasets import timm_datasets
from filtercrawl_plugins.metadata.families import timm_family
from filtercrawl_plugins.metadata.licenses import spdx_with_evidence
from filtercrawl_plugins.metadata.tasks import timm_task
from filtercrawl_plugins.metadata.visual_categories import visual_category
from filtercrawl_plugins.sources.shared.url_revision import hash_from_url

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

_ARXIV: Final = re.compile(r"arXiv:\d{4}\.\d{4,5}(v\d+)?")


@dataclass(frozen=True)
class TimmEntry:
    """One file of weights.

    Attributes:
        names: `ARCHITECTURE.TAG` of all entries with this file; the name of its repository comes first.
        config: timm's configuration of the first of them.
    """

    names: tuple[str, ...]
    config: PretrainedCfg

    @property
    def repo(self) -> str | None:
        """The repository on the Hub, `org/name`; None if the weights have only a URL."""
        return self.config.hf_hub_id or None

    @property
    def file(self) -> str | None:
        """The file in the repository; None if timm does not name one."""
        return self.config.hf_hub_filename or None

    @cached_property
    def url(self) -> str:
        """URL of weights that are not on the Hub; timm may state a pair of URL and file name."""
        url = self.config.url or ""
        return url if isinstance(url, str) else url[0]

    def meta(self, categories: Mapping[str, str]) -> CheckpointMetadata:
        """Return what timm's configuration and the tag state.

        Args:
            categories: Visual category by dataset, from the user's settings.
        """
        config = self.config
        architecture, _, tag = self.names[0].partition(".")
        datasets = timm_datasets(tag)
        license_, evidence = spdx_with_evidence(config.license, "timm cfg license")
        return CheckpointMetadata(
            task=timm_task(config.num_classes, datasets),
            training_datasets=datasets,
            visual_category=visual_category(datasets, categories),
            architecture=architecture,
            family=timm_family(architecture),
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
    """Return every file of pretrained weights that the installed timm lists, in its order; uses no network."""
    import timm

    by_address: dict[tuple[str, str], dict[str, PretrainedCfg]] = {}
    for name in timm.list_pretrained():
        config = timm.get_pretrained_cfg(name)
        assert config is not None, name
        address = (config.hf_hub_id or "", str(config.hf_hub_filename if config.hf_hub_id else config.url))
        by_address.setdefault(address, {})[name] = config
    return [_make_entry(repo.rpartition("/")[2], configs) for (repo, _), configs in by_address.items()]


def _make_entry(repo_name: str, configs: Mapping[str, PretrainedCfg]) -> TimmEntry:
    """Return the entry of a file that several names share; the name of its repository comes first."""
    names = tuple(sorted(configs, key=lambda name: name != repo_name))
    return TimmEntry(names, configs[names[0]])


def _paper(paper_ids: str | tuple[str, ...] | None) -> str | None:
    """Return the first arXiv id, `arXiv:2301.00808`."""
    ids = (paper_ids,) if isinstance(paper_ids, str) else paper_ids or ()
    return next((paper_id for paper_id in ids if _ARXIV.fullmatch(paper_id)), None)
