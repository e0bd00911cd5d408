"""How to cite the dataset."""

from __future__ import annotations

from typing import Final

from filtercrawl.dataset.card.release import Release

TITLE: Final = "Convolution kernels"


def bibtex(dataset_id: str, release: Release | None) -> str:
    """Return a BibTeX entry of the version, or of the dataset where it is no published version."""
    version = f"version {release.version}" if release else "unpublished"
    fields = {
        "title": f"{TITLE}, crawled by filtercrawl",
        "year": release.date[:4] if release and release.date else None,
        "url": release.url if release else None,
        "note": f"Dataset {dataset_id}, {version}",
    }
    key = f"filtercrawl-{dataset_id}" + (f"-{release.version}" if release else "")
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value is not None]
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}"
