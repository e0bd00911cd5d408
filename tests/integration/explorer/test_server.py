"""The local server of the explorer: what it sends, and what it refuses."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import filtercrawl
from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.dataset.tables.export import export
from filtercrawl_analysis.explorer.explore import open_explorer, write_page
from filtercrawl_analysis.explorer.page import page_files
from filtercrawl_analysis.explorer.server import ExplorerServer, own_hosts
from support.dataset_rows import example

INDEX = "/dataset/data/index/part.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "dataset"
    export(path, example(path))
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ExplorerServer]:
    with open_explorer(folder) as server:
        yield server


def ask(
    server: ExplorerServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send a request as it is, without any change of its path."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.putrequest(method, path, skip_host="Host" in sent)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_the_page_and_its_modules_have_their_types(server: ExplorerServer) -> None:
    for path, kind in (("/", "text/html"), ("/js/main.js", "text/javascript"), ("/style.css", "text/css")):
        status, headers, body = ask(server, path)
        assert (status, headers["Content-Type"].split(";")[0]) == (200, kind)
        assert int(headers["Content-Length"]) == len(body) > 0
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_every_module_that_is_imported_is_there(server: ExplorerServer) -> None:
    modules = {path: file.read_text("utf-8") for path, file in server.files.items() if path.endswith(".js")}
    for path, text in modules.items():
        for name in re.findall(r"""^(?:import|export)[^"'=(]* ["'](\.[^"']+\.js)["'];""", text, re.MULTILINE):
            found = os.path.normpath(Path(path).parent / name)
            assert found in modules, f"{path} imports {name}"


def test_ranges_of_a_table(server: ExplorerServer, folder: Path) -> None:
    content = (folder / "data/index/part.parquet").read_bytes()
    status, headers, body = ask(server, INDEX, Range="bytes=4-99")
    assert (status, body) == (206, content[4:100])
    assert headers["Content-Range"] == f"bytes 4-99/{len(content)}"
    assert ask(server, INDEX)[2] == content
    assert ask(server, INDEX, "HEAD")[2] == b""
    assert ask(server, INDEX, If_None_Match=headers["ETag"])[0] == 304
    assert ask(server, INDEX, Range=f"bytes={len(content)}-")[0] == 416


def test_the_etag_changes_with_the_file(tmp_path: Path) -> None:
    export(tmp_path, example(tmp_path))
    with open_explorer(tmp_path) as server:
        before = ask(server, INDEX, "HEAD")[1]["ETag"]
        table = pq.read_table(tmp_path / "data/index/part.parquet")
        pq.write_table(table, tmp_path / "data/index/part.parquet")
        assert ask(server, INDEX, "HEAD")[1]["ETag"] != before


@pytest.mark.parametrize(
    "path",
    [
        "/dataset/../secret.parquet",
        "/dataset/data/../../secret.parquet",
        "/dataset/data/%2e%2e/%2e%2e/secret.parquet",
        "/dataset/data/..%2f..%2fsecret.parquet",
        "/dataset//etc/passwd",
        "/../page.py",
        "/js/../../page.py",
        "//etc/passwd",
        "/dataset/manifest.json",
        "/dataset/data/linked.parquet",
        "/dataset/data/samples/linked.parquet",
        "/dataset/data/index/part.parquet%00.js",
        "/dataset/data/index--%00.parquet",
        f"/dataset/data/index--{'x' * 300}.parquet",
        "/dataset/",
        "/vendor",
        "/api/other",
    ],
)
def test_only_what_the_page_needs_can_be_read(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "dataset"
    export(folder, example(folder))
    (tmp_path / "secret.parquet").write_bytes(b"secret")
    for name in ("linked", "samples/linked"):
        (folder / f"data/{name}.parquet").symlink_to(tmp_path / "secret.parquet")
    with open_explorer(folder) as server:
        status, _, body = ask(server, path)
    assert status == 404
    assert b"secret" not in body


def test_a_dataset_in_the_cache_of_the_hub_is_made_of_links(folder: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshots/abc", tmp_path / "blobs"
    blobs.mkdir()
    for number, file in enumerate(path for path in folder.rglob("*") if path.is_file()):
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, blobs / str(number))
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    (tmp_path / "secret.parquet").write_bytes(b"secret")
    (snapshot / "data/samples/linked.parquet").symlink_to(tmp_path / "secret.parquet")
    with open_explorer(snapshot) as server:
        assert ask(server, INDEX)[2] == (folder / "data/index/part.parquet").read_bytes()
        assert ask(server, "/dataset/data/samples/linked.parquet")[0] == 404


def test_browsers_leave_out_port_80() -> None:
    assert own_hosts(80) == ("127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost")
    assert own_hosts(8000) == ("127.0.0.1:8000", "localhost:8000")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", ""])
def test_another_host_is_refused(server: ExplorerServer, host: str) -> None:
    assert ask(server, INDEX, Host=host.format(port=server.port))[0] == 403


def test_another_origin_is_refused(server: ExplorerServer) -> None:
    assert ask(server, INDEX, Origin="http://evil.example")[0] == 403
    assert ask(server, INDEX, Origin="null")[0] == 403
    assert ask(server, INDEX, Origin=f"http://localhost:{server.port}", Host=f"localhost:{server.port}")[0] == 200


def test_it_only_answers_get_and_head(server: ExplorerServer) -> None:
    assert {ask(server, INDEX, method)[0] for method in ("POST", "PUT", "DELETE", "OPTIONS")} == {501}


def test_the_page_is_told_which_tables_there_are(server: ExplorerServer, folder: Path) -> None:
    config = json.loads(ask(server, "/config.json")[2])
    assert config["files"]["data/index/part.parquet"] == (folder / "data/index/part.parquet").stat().st_size
    assert {f"data/{name}/part.parquet" for name in ("index", "models", "samples")} <= set(config["files"])
    assert not [path for path in config["files"] if "layers/" in path]
    assert config["capabilities"] == json.loads(ask(server, "/api/capabilities")[2]) == {"similar": True}


def test_similar_kernels_are_those_of_the_search(server: ExplorerServer, folder: Path) -> None:
    row = (
        pq.read_table(folder / "data/samples/part.parquet")
        .filter(pc.field("kernel") == "3x3")
        .slice(0, 1)
        .to_pylist()[0]
    )
    query = row["kernel_id"].replace("#", "%23").replace("@", "%40")
    status, _, body = ask(server, f"/api/similar?id={query}&k=3&metric=l2&invariant=rotation&invariant=sign")
    answer = json.loads(body)
    assert status == 200
    expected = filtercrawl.search(folder, row["kernel_id"], k=3, metric="l2", invariant=["rotation", "sign"])
    assert [found["id"] for found in answer["neighbors"]] == expected.neighbors["kernel_id"].to_pylist()
    assert [found["similarity"] for found in answer["neighbors"]] == expected.neighbors["distance"].to_pylist()
    assert f"{expected.searched:,}" in answer["searched"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "id=nothing",
        "id=a:0:0&k=0",
        "id=a:0:0&k=x",
        f"id=a:0:0&k={'9' * 5000}",
        "id=a:0:0&metric=other",
        "id=a&id=b",
    ],
)
def test_a_search_that_is_not_understood_says_why(server: ExplorerServer, query: str) -> None:
    status, _, body = ask(server, f"/api/similar?{query}")
    assert status == 400
    assert json.loads(body)["error"]


def test_a_dataset_that_takes_long_to_search_is_not_searched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = json.loads((folder / "manifest.json").read_text())["counts"]["kernels"]
    monkeypatch.setattr("filtercrawl_analysis.explorer.explore.MAX_SEARCHED", kernels - 1)
    with open_explorer(folder) as server:
        assert json.loads(ask(server, "/api/capabilities")[2]) == {"similar": False}
        assert ask(server, "/api/similar?id=a:0:0")[0] == 404


def test_a_folder_without_a_dataset_is_one_clear_line(tmp_path: Path, plugins: Plugins) -> None:
    result = CliRunner().invoke(build(plugins), ["explore", "--dataset", str(tmp_path), "--no-browser"])
    assert isinstance(result.exception, DatasetError)
    assert "no dataset here" in str(result.exception)
    with pytest.raises(DatasetError, match="there is no such folder"):
        open_explorer(tmp_path / "nowhere")


def test_a_repository_without_a_name_is_told() -> None:
    with pytest.raises(UsageError, match="hub: lacks the name of the repository"):
        open_explorer("hub:")


def test_a_port_that_is_taken_is_one_clear_line(server: ExplorerServer, folder: Path) -> None:
    with pytest.raises(UsageError, match=f"port {server.port}: cannot be used"):
        open_explorer(folder, server.port)


def test_a_static_page_is_written_whole_and_leaves_nothing_else(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    out.mkdir()
    old = out / "config.json"
    old.write_text("old")
    reader = old.open()
    write_page(folder, out)
    write_page(folder, out)
    with reader:  # a server that sends a file while it is replaced sends the old one whole
        assert reader.read() == "old"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        *page_files(), "config.json",
    }  # fmt: skip
    assert not (out / ".filtercrawl").exists()
    with pytest.raises(UsageError, match=r"config.json: cannot be written \(Not a directory\)"):
        write_page(folder, old)


def test_a_static_page_finds_the_dataset_by_a_relative_address(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "50 %?").mkdir()
    dataset = Path(shutil.copytree(folder, tmp_path / "50 %?/a:b#1"))
    index = write_page(dataset, tmp_path / "page")
    config = json.loads((index.parent / "config.json").read_text())
    assert urljoin("https://host/page/index.html", config["base"]) == "https://host/50%20%25%3F/a%3Ab%231/"
    assert config["capabilities"] == {"similar": False}
    assert set(config["files"].values()) == {None}
    assert (index.parent / "js/main.js").is_file()


def test_ctrl_c_ends_the_command(folder: Path) -> None:
    command = [sys.executable, "-m", "filtercrawl", "explore", "--dataset", str(folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
