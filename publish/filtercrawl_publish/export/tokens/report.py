"""What an export of token sequences is made of, and what it wrote."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from filtercrawl.api.formatting import escape_control
from filtercrawl.weight_space.token_dataset import TOKEN_SIZE


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """What is written.

    Attributes:
        token_size: Numbers of a token; 0 for those of the longest filter of each model.
        where: A condition over the columns of `index`; None for all layers.
        view: The view of the weights: `raw` or `effective`.
    """

    token_size: int = TOKEN_SIZE
    where: str | None = None
    view: str = "raw"


@dataclass(frozen=True, kw_only=True)
class TokenExportReport:
    """What was written.

    Attributes:
        folder: Where.
        models: Number of models by split.
        layers: Number of layers.
        tokens: Number of tokens.
    """

    folder: str
    models: dict[str, int]
    layers: int
    tokens: int

    def to_dict(self) -> dict[str, Any]:
        """Return the output of `filtercrawl export tokens --json`."""
        return asdict(self)

    def __str__(self) -> str:
        models = ", ".join(f"{count} {split}" for split, count in self.models.items())
        return f"{escape_control(self.folder)}: {self.tokens:,} tokens of {self.layers:,} layers; models: {models}"
