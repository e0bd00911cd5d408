"""Run a command of filtercrawl, and say what it leaves behind in its process and its folder.

`python -m filtercrawl.testing.analysis_run REPORT ARGUMENT...` runs `filtercrawl ARGUMENT...` and writes to the file
REPORT what was left, one line each.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filtercrawl.api.formatting import format_plural


def main() -> None:
    """Run the command line of this process."""
    report, folder = Path(sys.argv[1]), set(Path().iterdir())
    sys.argv = ["filtercrawl", *sys.argv[2:]]
    before = _rc_params()
    try:
        runpy.run_module("filtercrawl", run_name="__main__")
    finally:
        left = [*_figures(), *_settings(before, _rc_params()), *_files(folder)]
        report.write_text("\n".join(left), "utf-8")


def _rc_params() -> dict[str, Any]:
    import matplotlib as mpl

    return {str(name): value for name, value in mpl.rcParams.items()}


def _figures() -> Iterator[str]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and pyplot.get_fignums():
        yield f"leaves {format_plural(len(pyplot.get_fignums()), 'figure')} of pyplot open"


def _settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    # Which window system draws is settled by the first figure.
    changed = sorted(name for name in before if name != "backend" and before[name] != after.get(name))
    if changed:
        yield f"leaves other settings of matplotlib: {', '.join(changed[:3])}"


def _files(before: set[Path]) -> Iterator[str]:
    if written := sorted(set(Path().iterdir()) - before):
        yield f"writes {written[0].name!r} into the folder in which it runs"


if __name__ == "__main__":
    main()
