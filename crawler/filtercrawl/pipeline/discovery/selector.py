"""Selectors: which source to list, and what of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Self

from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.source import Source, SupportsCanonicalPattern, needs_pattern, unavailable
from filtercrawl.api.untrusted_names import is_text


@dataclass(frozen=True)
class Selector:
    """A source and a pattern that selects among what it offers.

    Attributes:
        source: Name of the source.
        pattern: The pattern in the source's own syntax; None for everything.
    """

    source: str
    pattern: str | None = None

    @classmethod
    def parse(cls, text: str, plugins: Plugins) -> Self:
        """Parse `SOURCE` or `SOURCE:PATTERN`.

        Raises:
            UsageError: No plugin provides the source, it cannot be used here, it rejects the pattern, or the text is
                not valid UTF-8.
        """
        name, colon, pattern = text.partition(":")
        source = plugins.sources.get(name)
        if source is None:
            known = ", ".join(sorted(plugins.sources)) or "none"
            if "local" in plugins.sources and os.path.exists(text):  # noqa: PTH110 - pathlib raises for a too long name
                kind = "folder" if Path(text).is_dir() else "file"
                raise UsageError(f"{text!r}: no source is named {name!r}; to name the {kind}, use local:{text}")
            raise UsageError(f"{text!r}: no source is named {name!r}; installed are {known}")
        if reason := unavailable(source):
            raise UsageError(f"{text}: the source {name} {reason}")
        selector = cls(name, canonical(source, pattern) if colon else None)
        if not is_text(str(selector)):
            raise UsageError(f"{str(selector)!a}: is not valid UTF-8; rename the folder or link to it")
        return selector

    @property
    def id(self) -> str:
        """A short digest, the same in every run and on every machine."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:16]

    @property
    def on_this_machine(self) -> bool:
        """Whether the pattern is an absolute path, which is never published."""
        return self.pattern is not None and PurePath(self.pattern).is_absolute()

    def __str__(self) -> str:
        return self.source if self.pattern is None else f"{self.source}:{self.pattern}"


def canonical(source: Source, pattern: str) -> str:
    return source.canonical(pattern) if isinstance(source, SupportsCanonicalPattern) else pattern


def default_selectors(plugins: Plugins) -> list[str]:
    """Return the selectors of a run that names none: every source that can be used here and needs no pattern."""
    return [
        name
        for name, source in sorted(plugins.sources.items())
        if not needs_pattern(source) and unavailable(source) is None
    ]
