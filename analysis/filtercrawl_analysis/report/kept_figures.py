"""Figures that earlier runs drew, kept beside the catalog: what is drawn as before is not drawn again."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.analysis import Figure
from filtercrawl.dataset.files.atomic import may_write, replace_if_changed, temporary
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl_analysis.engines.engine import MapItems
from filtercrawl_analysis.report.drawn_figures import DrawnFigure, FigureProblem, draw_figure
from filtercrawl_analysis.report.section_view import PageFigure

Step = Callable[[int, int, str], None]

_FOLDER: Final = f"{HIDDEN}/results/figures"
# Packages whose code draws, or is called by what draws; of the first all figures are that are kept.
_PACKAGES: Final = ("filtercrawl_analysis", "filtercrawl")
# Libraries on whose versions the bytes of figures depend.
_LIBRARIES: Final = ("cycler", "matplotlib", "numpy", "pillow", "pyarrow", "scipy")


class KeptFigures:
    """Figures by what they are drawn from, one Parquet file each; nothing in them cannot be drawn again.

    Of plugins, whose code may change under the same version, nothing is kept. Where the folder may not be written,
    nothing is kept either.
    """

    def __init__(self, dataset: Path, map_items: MapItems, step: Step, *, forget_others: bool) -> None:
        """Open the figures of a dataset; files are read when a figure is asked for.

        Args:
            dataset: The dataset folder.
            map_items: Computes a function of many figures.
            step: Receives the number of figures drawn, their total, and what is done.
            forget_others: Delete what is kept of figures that are not asked for.
        """
        self._dataset = dataset
        self._map_items = map_items
        self._step = step
        self._forget_others = forget_others

    def draw(self, figures: Sequence[Figure]) -> Iterator[DrawnFigure | FigureProblem]:
        """Yield each figure, drawn now or earlier."""
        paths = [self._path(figure) for figure in figures]
        kept = [None if path is None else _read(path) for path in paths]
        drawn = self._map_items(draw_figure, [figure for figure, found in zip(figures, kept, strict=True) if not found])
        for done, (path, found) in enumerate(zip(paths, kept, strict=True)):
            self._step(done, len(figures), "figures")
            if found is not None:
                yield found
                continue
            new = next(drawn)
            if path is not None and isinstance(new, DrawnFigure):
                self._write(path, new)
            yield new
        if self._forget_others and may_write(self._dataset / HIDDEN):
            for path in (self._dataset / _FOLDER).glob("*.parquet"):
                if path not in paths:
                    path.unlink(missing_ok=True)

    def _path(self, figure: Figure) -> Path | None:
        key = figure_key(figure)
        return None if key is None else self._dataset / _FOLDER / f"{key}.parquet"

    def _write(self, target: Path, figure: DrawnFigure) -> None:
        if not may_write(self._dataset / HIDDEN):
            return
        columns: dict[str, Any] = {"svg": figure.svg, "png": figure.png, "kind": figure.shown.kind}
        columns |= dict(zip(("light", "dark"), figure.shown.shown, strict=True))
        with temporary(target, self._dataset) as path:
            table = pa.table({name: [value] for name, value in columns.items()})
            pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
            replace_if_changed(path, target)


def figure_key(figure: Figure) -> str | None:
    """Return a digest of everything that the bytes of a figure depend on; None where its code is not known."""
    draw = figure.draw
    while isinstance(draw, partial):
        draw = draw.func
    module = getattr(draw, "__module__", None)  # None for code that was run from text
    if module is None or not module.startswith(f"{_PACKAGES[0]}."):
        return None
    digest = hashlib.sha256(_code_digest())
    pickler = pickle.Pickler(_Hashed(digest), pickle.HIGHEST_PROTOCOL)
    pickler.fast = True  # else equal arguments differ by which of their parts are one object
    try:
        pickler.dump((figure.name, figure.width, figure.height, figure.draw))
    except (pickle.PicklingError, AttributeError, TypeError, ValueError, RecursionError):
        return None
    return digest.hexdigest()[:32]


class _Hashed:
    """A file that only a digest is kept of."""

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, data: Any) -> int:
        """Hash the data."""
        self._digest.update(data)
        return len(memoryview(data).cast("B"))


@cache
def _code_digest() -> bytes:
    """Return a digest of the code of our packages and of the versions of libraries."""
    digest = hashlib.sha256(repr([(name, version(name)) for name in _LIBRARIES]).encode())
    for package in _PACKAGES:
        for path in sorted(Path(str(files(package))).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.digest()


def _read(path: Path) -> DrawnFigure | None:
    """Read a figure; None where there is no file, or a damaged one."""
    try:
        (row,) = pq.read_table(path, page_checksum_verification=True, partitioning=None).to_pylist()
        shown = PageFigure(shown=(row["light"], row["dark"]), kind=row["kind"])
        return DrawnFigure(svg=row["svg"], png=row["png"], shown=shown)
    except (OSError, ValueError, KeyError):
        return None
