"""Copy the pictures of pages on analyses from a dataset: `python docs/analysis_pictures.py DATASET`.

The dataset needs the results of `filtercrawl analyze --by task --by depth_decile --also form --also filters
--also spectra --also lineage`. A figure that it lacks is passed over.
"""

from __future__ import annotations

import sys
from pathlib import Path

from filtercrawl_analysis.plots.theme import LIGHT

FOLDER = Path(__file__).parent / "pictures"
PICTURES = (
    "dead_and_copied_filters",
    "drift_task_3x3",
    "eigenkernels_task",
    "explained_variance_depth_decile",
    "family_distance",
    "form_fits_7x7",
    "form_shares_5x5",
    "influence_drift",
    "lineage",
    "phenotypes",
    "published_entropy",
    "published_explained_variance",
    "ridges_depth_decile",
    "spectral_decay",
)


def main(dataset: Path) -> None:
    """Copy all pictures, on the paper of the light theme: those of a dataset are transparent."""
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        figure = dataset / f"analysis/figures/{name}.svg"
        if not figure.exists():
            continue
        head, tag, rest = figure.read_text("utf-8").partition("<defs>")
        paper = f'<rect width="100%" height="100%" fill="{LIGHT.paper}"/>'
        (FOLDER / f"analysis_{name}.svg").write_text(head + paper + tag + rest, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
