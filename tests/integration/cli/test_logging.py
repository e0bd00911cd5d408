"""`--verbose` and `--log-format json` over a real sync: structured lines, and never a token or a signed URL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from safetensors.torch import save
from typer.testing import CliRunner

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.cli.log_output import configure_logging
from filtercrawl.transport import hub
from support.http_server import Answer, Asked, Fault, FileServer
from support.zoo_files import put, state

pytestmark = pytest.mark.usefixtures("forked_children")

TOKEN = "zoo_0123456789abcdef"
SIGNATURE = "5ea1ed5ea1ed"
# A plugin that logs what it must not log.
PLUGIN = """
import logging
from filtercrawl.api import Checkpoint, RemoteFile, hookimpl

logger = logging.getLogger("filtercrawl_careless")

class Zoo:
    name = "careless"

    def checkpoints(self, transport, query):
        url = query.settings["index"]
        for row in transport.get_json(url):
            logger.warning("found %s by {token}", row["url"], extra={{"url": row["url"], "sent": ["{token}"]}})
            yield Checkpoint(name=row["name"], revision="1", files=(RemoteFile(url=row["url"], size=row["size"]),))

@hookimpl
def filtercrawl_sources():
    yield Zoo()
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A zoo that wants a token and redirects to signed URLs, one of which is refused; returns its index."""
    data = save(state())
    server = FileServer()
    with server:

        def guarded(asked: Asked) -> Answer:
            if asked.headers.get("authorization") != f"Bearer {TOKEN}":
                return Answer(status=401)
            location = f"{server.url}/signed{asked.path}?X-Amz-Signature={SIGNATURE}"
            return Answer(status=302, headers={"Location": location})

        for name in ("good", "bad"):
            server.on(f"/{name}", guarded)
            server.put(f"/signed/{name}", data)
        server.fail("/signed/bad", Fault(status=403), always=True)
        rows = [
            {"name": name, "url": f"{server.url}/{name}?key={SIGNATURE}", "size": len(data)} for name in ("good", "bad")
        ]
        (tmp_path / "filtercrawl.toml").write_text(
            f'[auth."{server.url}"]\ntoken_env = "ZOO_TOKEN"\n[sources.careless]\nindex = "{server.url}/index"\n'
        )
        (tmp_path / "careless_zoo.py").write_text(PLUGIN.format(token=TOKEN))
        server.json("/index", rows)
        yield server.url


def filtercrawl(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ZOO_TOKEN": TOKEN, "HF_TOKEN": "hf_secret_of_the_hub"}
    return subprocess.run(
        [sys.executable, "-m", "filtercrawl", *words], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize("more", [["--log-format", "json"], []], ids=["json", "text"])
def test_a_sync_shows_neither_token_nor_signed_url(index: str, more: list[str]) -> None:
    done = filtercrawl("--plugin", "careless_zoo", "sync", "careless", "--verbose", "--json", *more)
    assert done.returncode == 3, done.stderr
    for secret in (TOKEN, SIGNATURE, "hf_secret_of_the_hub"):
        assert secret not in done.stdout + done.stderr
    assert json.loads(done.stdout)["checkpoints"]["failed"] == 1
    assert "found" in done.stderr
    if more:
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert all(list(line)[:4] == ["time", "level", "logger", "message"] for line in lines)
        [good] = [line for line in lines if line.get("checkpoint") == "careless/good" and "outcome" in line]
        assert (good["outcome"], good["level"]) == ("emitted", "INFO")
        assert good["bytes_fetched"] > 0
        assert good["requests"] > 0
        assert good["seconds"]
        [bad] = [line for line in lines if line.get("checkpoint") == "careless/bad" and "outcome" in line]
        assert (bad["outcome"], bad["level"]) == ("failed", "WARNING")
        [found, _] = [line for line in lines if line["logger"] == "filtercrawl_careless"]
        assert found["sent"] == ["(hidden)"]


def test_without_options_a_failure_is_shown_once_beside_the_summary(zoo: Path) -> None:
    put(zoo / "net.safetensors", state())
    (zoo / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    done = filtercrawl("sync", f"local:{zoo}", "--json")
    assert done.returncode == 3
    assert [line.startswith(("[1/2] ", "[2/2] ", "writing")) for line in done.stderr.splitlines()] == [True] * 3


def test_an_error_is_a_json_object_too() -> None:
    done = filtercrawl("sync", "nowhere:x", "--log-format", "json")
    [line] = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, line["level"]) == (2, "ERROR")
    assert "no source is named 'nowhere'" in line["message"]


def test_every_command_has_the_options(plugins: Plugins) -> None:
    for words in (["status"], ["plugin", "check"], ["verify"], ["sources"]):
        text = CliRunner().invoke(build(plugins), [*words, "--help"]).stdout
        assert "--log-format" in text
        assert "--verbose" in text


@pytest.mark.parametrize("verbose", [False, True])
def test_a_wait_for_the_limit_of_the_hub_is_told_and_other_retries_are_details(
    capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    answers = [Answer(status=429, headers={"Retry-After": "0"}), Answer(status=503), Answer(body=b"ok")]
    configure_logging(verbose=verbose)
    import huggingface_hub
    from huggingface_hub.utils import http_backoff

    with FileServer() as server, hub.restored_hub_client():
        server.on("/file", lambda _: answers.pop(0))
        huggingface_hub.set_client_factory(
            httpx2.Client
        )  # the library's own refuses to work in tests, which are offline
        assert http_backoff("GET", f"{server.url}/file?X-Amz-Signature={SIGNATURE}", base_wait_time=0).text == "ok"
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if "Rate limited. Waiting 1.0s" in line]
    assert len(told) == 1
    assert verbose or lines == told
    assert any("503" in line for line in lines) == verbose
    assert SIGNATURE not in "".join(lines)
