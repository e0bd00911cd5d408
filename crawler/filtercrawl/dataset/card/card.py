"""The dataset card, README.md: its YAML header and its body, of which we write one part and keep the rest.

The card classes of `huggingface_hub` are not used: they drop keys whose value is null, write equal parts of the header
as YAML aliases, which not every reader of cards knows, and let errors of the YAML parser through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from filtercrawl.dataset.card.body import CardContext, render_body
from filtercrawl.dataset.card.yaml_header import render_header, split_header, user_header

PATH: Final = "README.md"
BEGIN: Final = "<!-- filtercrawl:begin -->"
END: Final = "<!-- filtercrawl:end -->"

_EMPTY: Final = BEGIN + END
_OURS: Final = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)


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
        return cls(*split_header(PATH, text.replace("\r\n", "\n")))

    def user_content(self) -> Card:
        """Return what people wrote: the card without our part of the header, and with an empty part of the body."""
        text, places = _OURS.subn(_EMPTY, self.body, count=1)
        return Card(user_header(self.header), text if places else f"{_EMPTY}\n{self.body}")

    def render(self, context: CardContext) -> str:
        """Return the card with our part made new.

        Of the header, `license`, `configs` and `dataset_info` are ours, of the body what the two markers
        enclose. Everything else stays as it was written.
        """
        own = self.user_content()
        header = render_header(own.header, context.counts.by_license, context.configs, context.dataset_id)
        ours = f"{BEGIN}\n{render_body(context)}\n{END}"
        text = own.body.replace(_EMPTY, ours, 1)
        return f"---\n{header}---\n{text}"
