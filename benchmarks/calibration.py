"""Measure how often the p-values, intervals and verdicts of the analyses are right, on data whose truth is known.

python benchmarks/calibration.py                  every part, at full length; writes docs/calibration.md
python benchmarks/calibration.py --length short   a fifth of the repetitions, printed only
python benchmarks/calibration.py --part drift     one part; the others stay as they are
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = REPOSITORY / "docs/calibration.md"
PARTS = {
    "drift": "calibration_drift",
    "family": "calibration_family",
    "layers": "calibration_layers",
    "components": "calibration_components",
}


def replace_part(page: str, part: str, text: str) -> str:
    """Replace what stands between the markers of a part of the page.

    Raises:
        ValueError: The page has no markers of this part.
    """
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{PAGE}: no part between {begin} and {end}")
    return pattern.sub(lambda _: f"{begin}\n{text.strip()}\n{end}", page)


def main() -> None:
    """Run the parts, print their reports, and at full length write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", choices=("short", "full"), default="full")
    parser.add_argument("--part", choices=tuple(PARTS), action="append")
    arguments = parser.parse_args()
    sys.path[:0] = [str(REPOSITORY / "benchmarks"), str(REPOSITORY / "tests")]
    for part in arguments.part or PARTS:
        text = importlib.import_module(PARTS[part]).report(arguments.length)
        print(text, flush=True)
        if arguments.length == "full":
            PAGE.write_text(replace_part(PAGE.read_text("utf-8"), part, text), "utf-8")


if __name__ == "__main__":
    main()
