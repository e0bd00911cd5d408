"""Opt-outs: checkpoints that may neither be fetched nor kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from filtercrawl.api.checkpoint import Checkpoint, Offer, Skipped
from filtercrawl.api.errors import UsageError
from filtercrawl.api.transport import Transport
from filtercrawl.config import Settings
from filtercrawl.config.urls import redact_url
from filtercrawl.dataset.schema.model_row import ModelRow

REASON = "opted out"


@dataclass(frozen=True)
class OptOut:
    """Patterns of what may neither be fetched nor kept.

    Attributes:
        patterns: Case-sensitive, with `*`. `SOURCE:NAME` matches names and aliases, a URL the URL of any file.
    """

    patterns: tuple[str, ...] = ()

    def skip_excluded(self, source: str, offer: Offer) -> Offer:
        """Return an offer as it is, or as skipped if a pattern matches it."""
        if not self.patterns:
            return offer
        return Skipped(name=offer.name, reason=REASON) if self._match(offer_texts(source, offer)) else offer

    def matches(self, row: ModelRow) -> bool:
        """Tell whether a pattern matches a row of `models`."""
        names = [f"{row.source}:{name}" for name in (row.name, *(row.aliases or ()))]
        return self._match((*names, row.url or ""))

    def _match(self, texts: Iterable[str]) -> bool:
        return any(fnmatchcase(text, pattern) for text in texts for pattern in self.patterns)


def offer_texts(source: str, offer: Offer) -> Iterator[str]:
    """Yield the texts by which a pattern can name an offer."""
    yield f"{source}:{offer.name}"
    if isinstance(offer, Checkpoint):
        yield from (f"{source}:{alias}" for alias in offer.aliases)
        yield from (file.url for file in offer.files)


def load_opt_out(settings: Settings, transport: Transport) -> OptOut:
    """Read the patterns of the settings and of the lists that they name.

    A run must not begin without its lists.

    Raises:
        UsageError: A list cannot be read or holds something else than patterns.
        NetworkError: A list cannot be fetched.
    """
    patterns = list(settings.opt_out)
    for location in settings.opt_out_from:
        patterns += read_url(location, transport) if "://" in location else read_file(Path(location))
    for pattern in patterns:
        if ":" not in pattern:
            raise UsageError(f"opt-out {pattern!r}: neither SOURCE:PATTERN nor a URL")
    return OptOut(tuple(patterns))


def read_file(path: Path) -> list[str]:
    """Read the patterns of a text file: one a line, `#` begins a comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"opt-out list {path}: {error}") from error
    return [line for text in lines if (line := text.partition("#")[0].strip())]


def read_url(url: str, transport: Transport) -> list[str]:
    """Fetch the patterns of a JSON list."""
    patterns = transport.get_json(url)
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise UsageError(f"opt-out list {redact_url(url)}: is no JSON list of strings")
    return patterns
