"""Names that Lightning gives the checkpoints of a run."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_SUFFIX: Final = ".ckpt"
_LAST: Final = "last"
_VERSION: Final = re.compile(r"-v[0-9]+$")
_METRIC: Final = re.compile(r"(?:^|-)(?P<name>epoch|step)=(?P<value>[0-9]{1,18})(?=-|$)")
# The user's own text, which contains no metric.
_PREFIX: Final = re.compile(r"(?P<text>[^=]+)-(?=[^=-]+=)")


@dataclass(frozen=True, kw_only=True)
class LightningName:
    """The name of a file: `epoch=3-step=400.ckpt` with metrics in any order, or `last.ckpt`.

    Attributes:
        prefix: What the user put before the metrics; empty if there is nothing.
        step: The step; None where the name does not state exactly one.
        versioned: Whether it ends in `-v1`: the name was taken when the file was saved, as by another run.
        last: Whether it is a copy of the checkpoint that was saved last.
    """

    prefix: str = ""
    step: int | None = None
    versioned: bool = False
    last: bool = False

    @classmethod
    def parse(cls, file: str) -> LightningName | None:
        """Return the parts of a name; None if Lightning gives no such name."""
        if not file.endswith(_SUFFIX):
            return None
        stem = file.removesuffix(_SUFFIX)
        name = _VERSION.sub("", stem)
        metrics = list(_METRIC.finditer(name))
        if not metrics and name != _LAST:
            return None
        prefix = _PREFIX.match(name)
        steps = {int(metric["value"]) for metric in metrics if metric["name"] == "step"}
        return cls(
            prefix=prefix["text"] if prefix else "",
            step=steps.pop() if len(steps) == 1 else None,
            versioned=name != stem,
            last=not metrics,
        )


class LightningFolders:
    """Which files of Lightning belong to one run: those of one folder with the same prefix.

    Args:
        names: POSIX paths of all files.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._prefixes: defaultdict[str, set[str]] = defaultdict(set)
        self._ambiguous: set[tuple[str, str | None]] = set()
        for name in names:
            folder, _, file = name.rpartition("/")
            if (parsed := LightningName.parse(file)) is not None:
                if not parsed.last:
                    self._prefixes[folder].add(parsed.prefix)
                if parsed.versioned:
                    self._ambiguous.add((folder, None if parsed.last else parsed.prefix))

    def prefix_of_run(self, folder: str, name: LightningName) -> str | None:
        """Return the prefix that a file has in common with the others of its run, None if its run is not known.

        That is so where a file of the same run is versioned, and of `last.ckpt` beside several prefixes.
        """
        prefixes = self._prefixes[folder]
        if name.last and len(prefixes) > 1:
            return None
        prefix = next(iter(prefixes), "") if name.last else name.prefix
        return None if self._ambiguous & {(folder, None), (folder, prefix)} else prefix
