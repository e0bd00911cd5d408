"""Text from outside inside Markdown that people also read as it is, such as a change log or the summary of a run."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["escape_markdown"]

_MAX_LENGTH: Final = 300
# Characters that make markup anywhere in a line; the three of HTML become entities, which no dialect misreads.
_HTML: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKUP: Final = re.compile(r"[\\`*\[\]{}#|~$^@]")
# An underscore inside a word is none, and GitHub makes a link of what begins like an address.
_UNDERSCORES: Final = re.compile(r"(?<!\w)_+")
_URL: Final = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
# What begins a list, or underlines a title, at the beginning of a line.
_LIST: Final = re.compile(r"[-+=]|(?<=\d)[.)](?=\s|$)")


def escape_markdown(text: str) -> str:
    """Return one line that Markdown shows as it is; names and paths stay readable without rendering.

    Longer text than 300 characters is cut.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > _MAX_LENGTH:
        line = line[: _MAX_LENGTH - 1] + "…"
    line = _MARKUP.sub(r"\\\g<0>", line)
    line = "".join(_HTML.get(c, c) for c in line)
    line = _UNDERSCORES.sub(lambda found: found[0].replace("_", r"\_"), line)
    line = _URL.sub(r"\\\g<0>", line)
    digits = len(line) - len(line.lstrip("0123456789"))
    if match := _LIST.match(line, digits):
        line = f"{line[: match.start()]}\\{line[match.start() :]}"
    return line
