"""Tell by a plugin's source text which hooks it may implement, so that it is imported only when it is needed."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from typing import Final

from filtercrawl.api import hookspecs

HOOKS: Final = tuple(sorted(name for name in vars(hookspecs) if name.startswith("filtercrawl_")))


def may_implement_hook(entry: EntryPoint, hook: str) -> bool:
    """Tell whether a plugin may implement a hook; imports at most the packages that its module lies in.

    A hook is found by its name, so a module that does not write it has none. In doubt the answer is yes: where the
    source is not there to be read, where it imports all names of another module, and where it names no hook at all,
    for then importing it says what is wrong with it.
    """
    if entry.attr or entry.module in sys.modules:
        return True
    try:
        spec = find_spec(entry.module)
        source = spec.loader.get_source(entry.module)  # type: ignore[union-attr]  # what has none raises
    except (Exception, SystemExit):  # noqa: BLE001 - a stranger's package may raise anything
        return True
    if source is None or "import *" in source:
        return True
    return hook in source or not any(known in source for known in HOOKS)
