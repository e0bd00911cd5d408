"""Copy the pictures of docs/analyses.md from a dataset: `python docs/analysis_pictures.py DATASET`.

The dataset needs the results of `filtercrawl analyze --by task --by depth_decile`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from filtercrawl_analysis.plots.theme import LIGHT

FOLDER = Path(__file__).parent / "pictures"
PICTURES = (
    "drift_task_3x3",
    "eigenkernels_task",
    "explained_variance_depth_decile",
    "influence_drift",
    "phenotypes",
    "published_entropy",
    "published_explained_variance",
    "ridges_depth_decile",
)


def main(dataset: Path) -> None:
    """Copy all pictures, on the paper of the light theme: those of a dataset are transparent."""
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        head, tag, rest = (dataset / f"analysis/figures/{name}.svg").read_text("utf-8").partition("<defs>")
        paper = f'<rect width="100%" height="100%" fill="{LIGHT.paper}"/>'
        (FOLDER / f"analysis_{name}.svg").write_text(head + paper + tag + rest, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
