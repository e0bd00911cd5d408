"""Tokens and signatures of URLs: all that a run with them wrote, printed and started is searched for them."""

from __future__ import annotations

import base64
import json
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

pytestmark = pytest.mark.usefixtures("forked_children")

TOKEN = "hf_9f3c1d7e5b2a4c6d8e0f"
SIGNATURE = "sig5e1f0c9a8b7d"
REPO = "org/kernels"
SECRETS = [
    form
    for secret in (TOKEN, SIGNATURE)
    for form in (secret.encode(), base64.b64encode(secret.encode()), secret.encode().hex().encode())
]


class SigningHub(HubServer):
    """A Hub with signed URLs to read and to write files, as the real one has; it repeats a token that it refuses."""

    def _hub(self, asked: Asked) -> Answer:
        answer = super()._hub(asked)
        if answer.headers.get("Location", "").startswith(self.cdn):
            signed = f"{answer.headers['Location']}?X-Amz-Signature={SIGNATURE}"
            answer = Answer(status=answer.status, headers={**answer.headers, "Location": signed}, body=answer.body)
        elif asked.path.endswith("/lfs/objects/batch") and answer.status == 200:
            told = json.loads(answer.body)
            for item in told["objects"]:
                if "actions" in item:
                    item["actions"]["upload"]["href"] += f"?X-Amz-Signature={SIGNATURE}"
            answer = Answer.json(told)
        elif answer.status == 403:
            answer = Answer.error(403, "", f"The token {TOKEN} lacks the rights")
        return answer

    def _cdn(self, asked: Asked) -> Answer:
        signed = asked.query.get("X-Amz-Signature") == [SIGNATURE]
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


def run(folder: Path, arguments: Sequence[str], environment: dict[str, str], exit_codes: Sequence[int] = (0,)) -> bytes:
    """Run the program and return what it printed; the arguments of all processes are searched meanwhile."""
    seen = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
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
    assert done.returncode in exit_codes, done.stderr.decode()
    return done.stdout + done.stderr


def machine(folder: Path, hub: HubServer, token: str) -> dict[str, str]:
    """Return the environment of a machine whose folders are all below one; the token is in a variable, or in a file."""
    places = {"HOME": "home", "XDG_CACHE_HOME": "cache", "HF_HOME": "hf", "TMPDIR": "tmp"}
    for name in places.values():
        (folder / name).mkdir()
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    environment |= {variable: str(folder / name) for variable, name in places.items()}
    if token == "file":
        (folder / "hf/token").write_text(TOKEN)  # as `hf auth login` leaves it
        environment.pop("HF_TOKEN", None)
        return environment
    return environment | {"HF_TOKEN": TOKEN}


def files_with_secrets(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file() and path != folder / "hf/token"]
    assert len(files) > 10
    return [path for path in files if found_in(path.read_bytes()) or found_in(str(path).encode())]


@pytest.mark.parametrize("log_format", ["json", pytest.param("text", marks=pytest.mark.exhaustive)])
def test_no_secret_is_written_printed_or_passed_on(tmp_path: Path, hub: HubServer, log_format: str) -> None:
    environment = machine(tmp_path, hub, "variable")
    (tmp_path / "filtercrawl.toml").write_text("[sources.hub]\ngated = true\n")
    logs = ["--verbose", "--log-format", log_format]
    where = ["--dataset", str(tmp_path / "dataset")]
    printed = run(tmp_path, ["sync", "hub:org/*", *where, *logs, "--fail-on", "none"], environment, (0, 3))
    assert any(asked.headers.get("authorization") == f"Bearer {TOKEN}" for asked in hub.log)
    assert any(asked.query.get("X-Amz-Signature") for asked in hub.log)
    assert b"org/gated" in printed
    printed += run(tmp_path, ["status", *where, *logs], environment)
    assert found_in(printed) == []
    assert files_with_secrets(tmp_path) == []
    cached = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert cached
    assert [path for path in cached if path.stat().st_mode & 0o077] == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("token", ["file", pytest.param("variable", marks=pytest.mark.exhaustive)])
def test_no_secret_of_a_release_is_written_printed_or_passed_on(tmp_path: Path, hub: HubServer, token: str) -> None:
    """Also none that a Hub repeats where it refuses, and none that the command of a notification holds."""
    environment = machine(tmp_path, hub, token) | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    webhook = "whk_5d2c8b1f7a"
    environment["FILTERCRAWL_NOTIFY_CMD"] = f"{tmp_path}/missing --header 'X-Key: {webhook}'"
    where = ["--dataset", str(tmp_path / "dataset"), "--verbose"]
    release = ["--no-plugin", "analyses", "release", REPO, "hub:org/open", *where, "--device", "cpu", "--json"]
    hub.create("org/open", {"model.safetensors": save(state(2))}, card={"license": "mit"})
    printed = run(tmp_path, release, environment)
    (version,) = hub.datasets[REPO].tags
    uploads = [asked for asked in hub.log if asked.method == "PUT"]
    assert uploads
    assert all(asked.query["X-Amz-Signature"] == [SIGNATURE] for asked in uploads)
    printed += run(tmp_path, ["analyze", "--only", "census", *where], environment)
    hub.role = "read"
    printed += run(tmp_path, ["publish", REPO, "--version", "v2", *where[:2]], environment, (1,))
    assert b"lacks the rights" in printed
    printed += run(tmp_path, ["verify", f"{REPO}@{version}"], environment)
    assert found_in(printed) == []
    assert webhook.encode() not in printed
    assert b"missing cannot be run" in printed
    assert files_with_secrets(tmp_path) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file() and webhook.encode() in path.read_bytes()] == []
    told = [data for commit in hub.datasets[REPO].commits for data in (commit.title.encode(), *commit.files.values())]
    assert [data for data in told if found_in(data) or webhook.encode() in data] == []
    assert list((tmp_path / "tmp").iterdir()) == []
