"""The dataset card, README.md: its YAML header and its body, of which we write one part and keep the rest.

The card classes of `huggingface_hub` are not used: they drop keys whose value is null, write equal parts of the header
as YAML aliases, which not every reader of cards knows, and let errors of the YAML parser through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.card.body import CardContext, render_body

PATH: Final = "README.md"
BEGIN: Final = "<!-- filtercrawl:begin -->"
END: Final = "<!-- filtercrawl:end -->"

_HEADER: Final = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_EMPTY: Final = BEGIN + END
_OURS: Final = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
_TAGS: Final = ("convolution", "kernels", "filters", "cnn", "model-weights")
# Licenses that the Hub has a name for, SPDX identifiers in lower case; it refuses a card with any other.
_HUB_LICENSES: Final = frozenset({
    "apache-2.0", "mit", "isc", "unlicense", "zlib", "wtfpl", "ncsa", "bsl-1.0", "bsd-2-clause",
    "bsd-3-clause", "bsd-3-clause-clear", "mpl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2",
    "artistic-2.0", "ecl-2.0", "ms-pl", "afl-3.0", "osl-3.0", "ofl-1.1", "gpl-2.0", "gpl-3.0",
    "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
})  # fmt: skip


# libyaml's parser, six times as fast, where PyYAML was built with it.
_SafeLoader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STYLE: Final[dict[str, Any]] = {"sort_keys": False, "allow_unicode": True, "width": 10**9}


@dataclass(frozen=True)
class Card:
    """A card as it was found: `header` as parsed, `body` the Markdown below it."""

    header: Mapping[str, Any]
    body: str

    @classmethod
    def parse(cls, text: str) -> Card:
        """Read a card.

        Raises:
            DatasetError: The header is no YAML mapping.
        """
        text = text.replace("\r\n", "\n")
        found = _HEADER.match(text)
        if not found:
            return cls({}, text)
        try:
            header = yaml.load(found[1], Loader=_SafeLoader) or {}  # noqa: S506 - both loaders are the safe ones
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise DatasetError(f"{PATH}: its header is not YAML ({reason}); fix or delete it") from error
        if not isinstance(header, dict):
            raise DatasetError(f"{PATH}: its header is no YAML mapping; fix or delete it")
        return cls(header, text[found.end() :])

    def user_content(self) -> Card:
        """Return what people wrote: the card without our part of the header, and with an empty part of the body."""
        header = {"pretty_name": "Trained convolution kernels", "tags": list(_TAGS), **self.header}
        for key in ("license", "configs", "dataset_info"):
            header.pop(key, None)
        text, places = _OURS.subn(_EMPTY, self.body, count=1)
        return Card(header, text if places else f"{_EMPTY}\n{self.body}")

    def render(self, context: CardContext) -> str:
        """Return the card with our part made new.

        Of the header, `license`, `configs` and `dataset_info` are ours, of the body what the two markers
        enclose. Everything else stays as it was written.
        """
        own = self.user_content()
        header = dict(own.header)
        if license_word := _license(set(context.counts.by_license)):
            header["license"] = license_word
        if context.configs:
            header["configs"] = [config.header(context.dataset_id) for config in context.configs]
            header["configs"][0]["default"] = True
        dumped = yaml.dump(header, Dumper=_PlainDumper, **_STYLE)
        if context.configs:
            info = [config.info() for config in context.configs]
            dumped += yaml.dump({"dataset_info": info}, Dumper=_FastDumper, **_STYLE)
        ours = f"{BEGIN}\n{render_body(context)}\n{END}"
        text = own.body.replace(_EMPTY, ours, 1)
        return f"---\n{dumped}---\n{text}"


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
