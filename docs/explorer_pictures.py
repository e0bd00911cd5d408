"""Take the pictures of docs/explorer.md: `python docs/explorer_pictures.py DATASET`, with an installed Chromium.

The dataset needs the analyses `degeneracy`, `eigenkernels` and `form`.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, Route, sync_playwright

from filtercrawl_analysis.explorer.explore import open_explorer

FOLDER = Path(__file__).parent / "pictures"
# Name -> (query, what is there when the view is complete, height in pixels).
PICTURES = {
    "explorer_grid": ("?f.kernel=3x3&sort=-orthogonality", ".card.drawn", 720),
    "explorer_scatter": (
        "?view=scatter&points=kernels&f.kernel=3x3&color=model_id&kbrush=-1,0,-1.5,-1",
        ".pictures canvas",
        1080,
    ),
    "explorer_kernel": ("?kernel={kernel}", ".neighbors li", 1080),
}
WIDTH = 1200


def main(dataset: Path) -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with open_explorer(dataset) as server, sync_playwright() as playwright:
        executable = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=executable)
        for name, (query, complete, height) in PICTURES.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": height})
            page.route("**/config.json", _without_folder)
            page.goto(server.url + "?f.kernel=3x3&sort=-orthogonality")
            page.goto(server.url + query.format(kernel=_first_kernel(page)))
            page.wait_for_selector(complete)
            page.wait_for_timeout(1500)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            picture.save(FOLDER / f"{name}.webp", quality=82, method=6)
            page.close()
        browser.close()


def _without_folder(route: Route) -> None:
    """Name the dataset as the documentation does, and not by the folder that it happens to be in."""
    config = json.loads(route.fetch().text())
    route.fulfill(json=config | {"name": "filtercrawl-dataset", "location": "filtercrawl-dataset"})


def _first_kernel(page: Page) -> str:
    page.locator(".card.drawn .picture").first.click(position={"x": 20, "y": 20})
    page.wait_for_url("**/*kernel=*")
    return page.url.partition("&kernel=")[2]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
