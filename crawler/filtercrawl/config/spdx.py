"""SPDX license expressions: their evaluation, and which licenses permit redistribution."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

# SPDX identifiers, without `-only` and `-or-later`, of licenses that permit anybody to redistribute the work and what
# is derived from it, also commercially, on conditions that a copy can meet: attribution, the same terms, the license
# text. Not included: NC (no commercial use), ND (no derivatives), and licenses with rules of use (RAIL, Gemma, Llama).
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
    """Return whether an SPDX expression permits everybody to redistribute; None where the license is unknown."""
    if license_id is None:
        return None
    return bool(evaluate_expression(license_id, lambda name: int(normalize_name(name) in _FREE)))


def normalize_name(name: str) -> str:
    """Return a license identifier in lower case without the suffix for later versions."""
    return name.lower().removesuffix("+").removesuffix("-only").removesuffix("-or-later")


def evaluate_expression(expression: str, of: Callable[[str], int]) -> int:
    """Evaluate an SPDX expression: OR takes the maximum, AND the minimum of the values of its licenses.

    Args:
        expression: An SPDX expression. An exception (`WITH`) only adds rights and is ignored. Text that is not an
            expression counts as the name of one license.
        of: Returns the value of one license.
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
            raise ValueError(_missing_operand(end))
    elif word.upper() in ("", ")", "OR", "AND", "WITH"):
        raise ValueError(_missing_operand(word))
    else:
        value = of(word)
    word = next(rest)
    if word.upper() == "WITH":
        next(rest)
        word = next(rest)
    return value, word


def _missing_operand(word: str) -> str:
    return f"no license before {word!r}"
