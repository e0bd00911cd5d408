"""The page without its server: beside a dataset folder, and as a static Space that reads a repository of the Hub."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import yaml
from playwright.sync_api import expect

from filtercrawl.testing.loopback_server import Loopback
from filtercrawl_analysis.explorer.explore import write_page
from support.explorer_page import PageOpener, wait_for_counts
from support.hub.server import HubServer
from support.hub.types import Repo, sha256

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPO = "org/kernels"


class Quiet(SimpleHTTPRequestHandler):
    """Python's own server, which does not know ranges."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def static_server(folder: Path) -> Iterator[str]:
    handler: Any = functools.partial(Quiet, directory=str(folder))
    with Loopback(handler) as server:
        yield server.url


def test_beside_a_dataset_on_a_server_without_ranges(
    browser: Browser, viewed_dataset: Path, index: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "kernels").symlink_to(viewed_dataset)
    page_folder = tmp_path / "explorer"
    write_page(viewed_dataset, page_folder)
    config = page_folder / "config.json"
    relative = os.path.relpath(viewed_dataset, page_folder)
    config.write_text(config.read_text().replace(relative, "../kernels"))
    with static_server(tmp_path) as url:
        opener = PageOpener(browser, f"{url}/explorer/")
        page = opener(f"?sort=-sparsity&kernel={first_kernel(viewed_dataset)}")
        page.locator(".card.drawn").first.wait_for()
        assert page.locator("#counts").inner_text().startswith(f"{len(index)} layers")
        page.get_by_text("sampled kernels of").first.wait_for()
        opener.close()
        assert opener.problems == []


@pytest.mark.parametrize(
    ("file", "problem"),
    [("config.json", "`filtercrawl explore --out` writes it"), ("js/data/worker.js", "worker did not start")],
)
def test_a_file_of_the_page_that_is_missing_is_told(
    browser: Browser, viewed_dataset: Path, tmp_path: Path, file: str, problem: str
) -> None:
    write_page(viewed_dataset, tmp_path)
    (tmp_path / file).unlink()
    with static_server(tmp_path) as url:
        page = browser.new_page()
        page.goto(f"{url}/?view=model")
        expect(page.get_by_role("alert")).to_contain_text(problem)
        page.close()


def first_kernel(dataset: Path) -> str:
    from urllib.parse import quote

    return quote(pd.read_parquet(dataset / "data/samples/part.parquet", columns=["kernel_id"]).kernel_id[0])


@pytest.fixture(scope="module")
def hub(viewed_dataset: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        repo = server.datasets[REPO] = Repo(id=REPO, commits=[])
        files = {
            path.relative_to(viewed_dataset).as_posix(): path.read_bytes()
            for path in viewed_dataset.rglob("*")
            if path.is_file() and ".filtercrawl" not in path.parts
        }
        server.blobs.update({sha256(data): data for data in files.values()})
        server.append(repo, files, "first")
        yield server


def explore(hub: HubServer, home: Path, *arguments: str, fails: bool = False) -> str:
    """Run the command with this Hub and a cache of its own; returns its output, or its error."""
    environment = {name: value for name, value in os.environ.items() if "OFFLINE" not in name}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "filtercrawl", "explore", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode != 0) == fails, done.stderr
    return " ".join(done.stderr.split()) if fails else done.stdout


def test_a_static_space_reads_a_repository_by_ranges(
    browser: Browser, hub: HubServer, index: pd.DataFrame, tmp_path: Path
) -> None:
    out = tmp_path / "space"
    assert explore(hub, tmp_path, "--dataset", f"hub:{REPO}", "--out", str(out)).strip() == str(out / "index.html")
    card = yaml.safe_load((out / "README.md").read_text().split("---")[1])
    assert (card["sdk"], card["datasets"]) == ("static", [REPO])
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "README.md").write_text("mine")
    refused = explore(hub, tmp_path, "--dataset", f"hub:{REPO}", "--out", str(dataset), fails=True)
    assert f"{dataset / 'README.md'}: is not the card of a static Space" in refused
    assert [path.name for path in dataset.iterdir()] == ["README.md"]
    html = (out / "index.html").read_text()
    assert f"connect-src 'self' {hub.url} https://*.hf.co;" in html
    # The storage of this Hub is on another port, which its name does not tell.
    (out / "index.html").write_text(html.replace("https://*.hf.co", hub.cdn))
    before = len(hub.log)
    with static_server(out) as url:
        context = browser.new_context()
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{url}/?f.kernel=3x3")
        wait_for_counts(page)
        page.locator(".card.drawn").first.wait_for()
        assert page.locator("#counts").inner_text().startswith(f"{(index.kernel == '3x3').sum()} layers")
        context.close()
    assert errors == []
    asked = [request for request in hub.log[before:] if request.method == "GET"]
    commit = hub.datasets[REPO].head.sha
    resolved = [request.path for request in asked if request.kind == "resolve"]
    assert all(path.startswith(f"/datasets/{REPO}/resolve/{commit}/") for path in resolved)
    assert all("range" in request.headers for request in asked)
    assert not [path for path in resolved if "/layers/" in path]
