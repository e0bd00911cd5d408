"""What must not be fetched nor kept: opt-outs and takedowns, honoured on every run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from filtercrawl.api.checkpoint import Checkpoint, Offer, Skipped
from filtercrawl.api.errors import UsageError
from filtercrawl.api.transport import Transport
from filtercrawl.config import Settings
from filtercrawl.dataset.schema.model_row import ModelRow

REASON = "opted out"


@dataclass(frozen=True)
class OptOut:
    """Patterns with `*`: `SOURCE:NAME` meets names and aliases, one with `://` the URL of any file."""

    patterns: tuple[str, ...] = ()

    def skip_excluded(self, source: str, offer: Offer) -> Offer:
        """Return the offer, or its name alone with the reason why it is left out."""
        met = any(fnmatchcase(text, pattern) for text in texts(source, offer) for pattern in self.patterns)
        return Skipped(name=offer.name, reason=REASON) if met else offer

    def matches(self, row: ModelRow) -> bool:
        """Tell whether a row of `models` is of something that must not be kept."""
        names = [f"{row.source}:{name}" for name in (row.name, *(row.aliases or ()))]
        return any(fnmatchcase(text, pattern) for text in (*names, row.url or "") for pattern in self.patterns)


def texts(source: str, offer: Offer) -> Iterator[str]:
    """By what an offer can be named in a pattern."""
    yield f"{source}:{offer.name}"
    if isinstance(offer, Checkpoint):
        yield from (f"{source}:{alias}" for alias in offer.aliases)
        yield from (file.url for file in offer.files)


def load_opt_out(settings: Settings, transport: Transport) -> OptOut:
    """Gather the patterns of the settings and of the lists they name: text, one a line, `#` begins a comment; a URL
    gives a JSON list. Raises UsageError or NetworkError: without its lists a run must not begin.
    """
    found = list(settings.opt_out)
    for place in settings.opt_out_from:
        found += from_url(place, transport) if "://" in place else from_file(Path(place))
    for pattern in found:
        if ":" not in pattern:
            raise UsageError(f"opt-out {pattern!r}: neither SOURCE:PATTERN nor a URL")
    return OptOut(tuple(found))


def from_file(path: Path) -> Iterable[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"opt-out list {path}: {error}") from error
    return [line for text in lines if (line := text.partition("#")[0].strip())]


def from_url(url: str, transport: Transport) -> Iterable[str]:
    names = transport.get_json(url)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"opt-out list {url}: is no JSON list of texts")
    return names
