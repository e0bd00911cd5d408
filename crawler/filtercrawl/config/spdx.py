"""Licences: which of them let everybody pass weights on, and what an SPDX expression of several comes to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

# SPDX identifiers, without `-only` and `-or-later`, of licences that let anybody redistribute what is under them and
# what is derived from it, also for money, on conditions that a copy can meet: attribution, the same terms, the text.
# Not here: NC (not for money), ND (nothing derived), and licences with rules of use of their own (RAIL, Gemma, Llama).
REDISTRIBUTABLE: Final = (
    "0BSD", "AFL-3.0", "AGPL-3.0", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear",
    "BSL-1.0", "BlueOak-1.0.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-2.0", "CC-BY-SA-2.5",
    "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "ECL-2.0", "EPL-1.0",
    "EPL-2.0", "EUPL-1.1", "EUPL-1.2", "GPL-2.0", "GPL-3.0", "ISC", "LGPL-2.1", "LGPL-3.0", "MIT", "MIT-0", "MPL-1.1",
    "MPL-2.0", "MS-PL", "MulanPSL-2.0", "NCSA", "ODC-By-1.0", "ODbL-1.0", "OFL-1.1", "OSL-3.0", "PDDL-1.0", "UPL-1.0",
    "Unlicense", "WTFPL", "Zlib",
)  # fmt: skip
_FREE: Final = frozenset(name.lower() for name in REDISTRIBUTABLE)
_WORD: Final = re.compile(r"[()]|[^\s()]+")


def is_redistributable(license_id: str | None) -> bool | None:
    """Tell whether everybody may pass on what is under an SPDX expression; None where the licence is unknown."""
    if license_id is None:
        return None
    return bool(evaluate_expression(license_id, lambda name: int(normalize_name(name) in _FREE)))


def normalize_name(name: str) -> str:
    """Return a licence identifier in lower case without what says which later versions count too."""
    return name.lower().removesuffix("+").removesuffix("-only").removesuffix("-or-later")


def evaluate_expression(expression: str, of: Callable[[str], int]) -> int:
    """Return what an SPDX expression comes to where `of` says what each licence does: OR the best, AND the worst.

    An exception (`WITH`) only adds rights and is left aside. What is no expression counts as one name.
    """
    words = _WORD.findall(expression)
    rest = iter([*words, ""])
    try:
        value, end = _any(rest, of)
    except (ValueError, RecursionError):
        return of(expression)
    return value if end == "" else of(expression)


def _any(rest: Iterator[str], of: Callable[[str], int]) -> tuple[int, str]:
    value, word = _all(rest, of)
    while word.upper() == "OR":
        other, word = _all(rest, of)
        value = max(value, other)
    return value, word


def _all(rest: Iterator[str], of: Callable[[str], int]) -> tuple[int, str]:
    value, word = _one(rest, of)
    while word.upper() == "AND":
        other, word = _one(rest, of)
        value = min(value, other)
    return value, word


def _one(rest: Iterator[str], of: Callable[[str], int]) -> tuple[int, str]:
    word = next(rest)
    if word == "(":
        value, end = _any(rest, of)
        if end != ")":
            raise ValueError(missing_operand(end))
    elif word.upper() in ("", ")", "OR", "AND", "WITH"):
        raise ValueError(missing_operand(word))
    else:
        value = of(word)
    word = next(rest)
    if word.upper() == "WITH":
        next(rest)
        word = next(rest)
    return value, word


def missing_operand(word: str) -> str:
    return f"no licence before {word!r}"
