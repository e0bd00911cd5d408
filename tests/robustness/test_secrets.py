"""Tokens and signatures of URLs: all that a run with them wrote, printed and started is searched for them."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from safetensors.torch import save

from support.hub.server import Answer, Asked, HubServer
from support.zoo_files import state

TOKEN = "hf_9f3c1d7e5b2a4c6d8e0f"
SIGNATURE = "sig5e1f0c9a8b7d"
SECRETS = [
    form
    for secret in (TOKEN, SIGNATURE)
    for form in (secret.encode(), base64.b64encode(secret.encode()), secret.encode().hex().encode())
]


class SigningHub(HubServer):
    """A Hub that redirects to signed URLs, whose signature it checks, as the real one does."""

    def _hub(self, asked: Asked) -> Answer:
        answer = super()._hub(asked)
        if answer.headers.get("Location", "").startswith(self.cdn):
            signed = f"{answer.headers['Location']}?X-Amz-Signature={SIGNATURE}"
            answer = Answer(status=answer.status, headers={**answer.headers, "Location": signed}, body=answer.body)
        return answer

    def _cdn(self, asked: Asked) -> Answer:
        signed = asked.method == "PUT" or asked.query.get("X-Amz-Signature") == [SIGNATURE]
        return super()._cdn(asked) if signed else Answer(status=403)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with SigningHub(token=TOKEN) as running:
        running.create("org/gated", {"model.safetensors": save(state(1))}, card={"license": "mit"})
        running.repos["org/gated"].gated = "auto"
        running.create("org/broken", {"model.safetensors": b"\xff" * 100_000}, card={"license": "mit"})
        yield running


def found_in(data: bytes) -> list[bytes]:
    return [secret for secret in SECRETS if secret in data]


def run(folder: Path, arguments: Sequence[str], environment: dict[str, str]) -> bytes:
    """Run the program and return what it printed; the arguments of all processes are searched meanwhile."""
    seen = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.extend(found_in(path.read_bytes()))
                except OSError:
                    continue  # it has ended

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        command = [sys.executable, "-m", "filtercrawl", *arguments]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, check=False)
    finally:
        ended.set()
        watcher.join()
    assert seen == []
    assert done.returncode in (0, 3), done.stderr.decode()
    return done.stdout + done.stderr


@pytest.mark.parametrize("log_format", ["json", pytest.param("text", marks=pytest.mark.exhaustive)])
def test_no_secret_is_written_printed_or_passed_on(tmp_path: Path, hub: HubServer, log_format: str) -> None:
    places = {"HOME": "home", "XDG_CACHE_HOME": "cache", "HF_HOME": "hf", "TMPDIR": "tmp"}
    for name in places.values():
        (tmp_path / name).mkdir()
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    environment |= {variable: str(tmp_path / name) for variable, name in places.items()}
    (tmp_path / "filtercrawl.toml").write_text("[sources.hub]\ngated = true\n")
    logs = ["--verbose", "--log-format", log_format]
    where = ["--dataset", str(tmp_path / "dataset")]
    printed = run(tmp_path, ["sync", "hub:org/*", *where, *logs, "--fail-on", "none"], environment)
    assert any(asked.headers.get("authorization") == f"Bearer {TOKEN}" for asked in hub.log)
    assert any(asked.query.get("X-Amz-Signature") for asked in hub.log)
    assert b"org/gated" in printed
    printed += run(tmp_path, ["status", *where, *logs], environment)
    assert found_in(printed) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if found_in(path.read_bytes()) or found_in(str(path).encode())] == []
    cached = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert cached
    assert [path for path in cached if path.stat().st_mode & 0o077] == []
    assert list((tmp_path / "tmp").iterdir()) == []
