"""YAML that strangers wrote, parsed within limits of size, nesting, aliases and numbers."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

# Characters of all scalars, with those that aliases stand for counted each time: a few lines of aliases to aliases can
# stand for any number, and whoever walks or writes the value visits every one.
_MAX_CHARACTERS: Final = 8_000_000
_MAX_DEPTH: Final = 50
# Numbers are converted in a time that grows with the square of their length: YAML 1.1 knows them in base 60.
_MAX_DIGITS: Final = 400
_NUMBER: Final = re.compile(r"[-+0-9a-fxo_:.]*", re.IGNORECASE)
# libyaml's parser, six times as fast, where PyYAML was built with it.
_SafeLoader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What the constructors of PyYAML raise for scalars that do not have the form of their tag, such as `!!bool x`.
_INVALID: Final = (yaml.YAMLError, ValueError, ArithmeticError, AttributeError, LookupError, TypeError, RecursionError)


class InvalidYamlError(ValueError):
    """A text that is no YAML, or exceeds a limit."""


def load_yaml(text: str) -> Any:
    """Return what a YAML text of one document holds: mappings, lists and scalars, never another object.

    Raises:
        InvalidYamlError: It is no YAML, or exceeds a limit.
    """
    if len(text) > _MAX_CHARACTERS:
        raise InvalidYamlError(f"longer than {_MAX_CHARACTERS} characters")
    try:
        _check_events(text)
        return yaml.load(text, Loader=_SafeLoader)  # noqa: S506 - both loaders are the safe ones
    except InvalidYamlError:
        raise
    except _INVALID as error:
        raise InvalidYamlError(" ".join(str(error).split()) or type(error).__name__) from error


def _check_events(text: str) -> None:
    """Check a text against the limits before any value is built."""
    limits = _Limits()
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            limits.alias(event.anchor)
        elif isinstance(event, yaml.ScalarEvent):
            limits.scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            limits.open(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            limits.close()


class _Limits:
    """Counts the characters of a document with those that aliases stand for."""

    def __init__(self) -> None:
        self._total = 0
        self._size_of: dict[str, int] = {}  # by anchor, aliases within it counted each time
        self._opened: list[tuple[str | None, int]] = []  # the anchor of each open collection, and the total before it

    def alias(self, anchor: str | None) -> None:
        if anchor is None or anchor not in self._size_of:
            raise InvalidYamlError(f"the alias *{anchor} stands within what it names, or for nothing")
        self._add(self._size_of[anchor])

    def scalar(self, event: yaml.ScalarEvent) -> None:
        is_text = not event.implicit[0] and event.tag is None
        if not is_text and len(event.value) > _MAX_DIGITS and _NUMBER.fullmatch(event.value):
            raise InvalidYamlError(f"a number of more than {_MAX_DIGITS} digits")
        self._add(len(event.value) + 1)
        if event.anchor is not None:
            self._size_of[event.anchor] = len(event.value) + 1

    def open(self, anchor: str | None) -> None:
        self._opened.append((anchor, self._total))
        self._add(1)
        if anchor is not None:
            self._size_of.pop(anchor, None)
        if len(self._opened) > _MAX_DEPTH:
            raise InvalidYamlError(f"nested more than {_MAX_DEPTH} levels deep")

    def close(self) -> None:
        anchor, before = self._opened.pop()
        if anchor is not None:
            self._size_of[anchor] = self._total - before

    def _add(self, n_characters: int) -> None:
        self._total += n_characters
        if self._total > _MAX_CHARACTERS:
            raise InvalidYamlError(f"longer than {_MAX_CHARACTERS} characters, aliases written out")
