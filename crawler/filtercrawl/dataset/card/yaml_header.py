"""The YAML header of the card: reading what people wrote, and writing it again with the parts that are ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.card.citation import TITLE
from filtercrawl.dataset.card.configs import Config
from filtercrawl.dataset.card.limited_yaml import InvalidYamlError, load_yaml

_HEADER: Final = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
TAGS: Final = ("convolution", "kernels", "filters", "cnn", "model-weights")
# Licenses that the Hub has a name for, SPDX identifiers in lower case; it refuses a card with any other.
_HUB_LICENSES: Final = frozenset({
    "apache-2.0", "mit", "isc", "unlicense", "zlib", "wtfpl", "ncsa", "bsl-1.0", "bsd-2-clause",
    "bsd-3-clause", "bsd-3-clause-clear", "mpl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2",
    "artistic-2.0", "ecl-2.0", "ms-pl", "afl-3.0", "osl-3.0", "ofl-1.1", "gpl-2.0", "gpl-3.0",
    "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
})  # fmt: skip


_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STYLE: Final[dict[str, Any]] = {"sort_keys": False, "allow_unicode": True, "width": 10**9}


def split_header(path: str, text: str) -> tuple[dict[str, Any], str]:
    """Return the header of a card as parsed, and the Markdown below it.

    Args:
        path: Name of the card for messages.
        text: The card, with line feeds only.

    Raises:
        DatasetError: The header is no YAML mapping.
    """
    found = _HEADER.match(text)
    if not found:
        return {}, text
    try:
        header = load_yaml(found[1]) or {}
    except InvalidYamlError as error:
        raise DatasetError(f"{path}: its header is not YAML ({error}); fix or delete it") from error
    if not isinstance(header, dict):
        raise DatasetError(f"{path}: its header is no YAML mapping; fix or delete it")
    return header, text[found.end() :]


def user_header(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return a header without the keys that are ours, and with a title and tags where people gave none."""
    own = {"pretty_name": TITLE, "tags": list(TAGS), **header}
    for key in ("license", "configs", "dataset_info"):
        own.pop(key, None)
    return own


def render_header(
    header: Mapping[str, Any], licenses: Iterable[str | None], configs: Sequence[Config], dataset_id: str
) -> str:
    """Return a header as YAML, with the license of all weights and the configs added.

    Args:
        header: What people wrote: `user_header`.
        licenses: The license of each checkpoint whose weights are published, as SPDX identifiers.
        configs: The configs of the dataset, the default one first.
        dataset_id: The id of the dataset.
    """
    whole = dict(header)
    if license_word := _license(set(licenses)):
        whole["license"] = license_word
    if configs:
        whole["configs"] = [config.header(dataset_id) for config in configs]
        whole["configs"][0]["default"] = True
    text: str = yaml.dump(whole, Dumper=_PlainDumper, **_STYLE)
    if configs:
        text += yaml.dump({"dataset_info": [config.info() for config in configs]}, Dumper=_FastDumper, **_STYLE)
    return text


class _PlainDumper(yaml.SafeDumper):
    """Writes equal parts out in full: not every reader of cards knows YAML's aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


class _FastDumper(_SafeDumper):  # type: ignore[misc]  # which of the two classes it is, only PyYAML knows
    """The same by libyaml, for column names and types: of other text libyaml loses U+0085."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _license(licenses: set[str | None]) -> str | None:
    """Return the Hub's name for the license of all weights, if they have one in common."""
    if len(licenses) != 1:
        return None
    word = (licenses.pop() or "").lower().removesuffix("-only")
    return word if word in _HUB_LICENSES else None
