"""What a release refuses before it reads anything: a wrong clock, a token that may not write, a large loss.

And at its end: to publish on top of a version that it did not begin with.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import timedelta

import pytest
from typer.testing import CliRunner, Result

from filtercrawl.api.errors import AccessDeniedError, ConflictError, PolicyError
from filtercrawl.cli.app import build
from filtercrawl.dataset.files.lock import locked
from support.hub.server import Asked, Fault, HubServer
from support.nightly import FIRST, REPO, ZOO, Job
from support.zoo_files import models

pytestmark = pytest.mark.usefixtures("forked_children")


@pytest.fixture
def real_clock(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own clock; a stated date is none."""
    job.set_day = lambda night: monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    del job.hub.datasets[REPO]


@pytest.fixture
def cli(job: Job) -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(build(job.plugins), arguments)


@pytest.mark.usefixtures("real_clock")
@pytest.mark.parametrize("days", [-2, 2])
def test_a_wrong_clock_names_no_version(job: Job, days: int) -> None:
    job.hub.ahead = timedelta(days=days)
    with pytest.raises(PolicyError, match=r"clock of this machine says .* UTC, the server says .*--version"):
        job()
    assert (job.asked_of_zoo(), job.versions()) == (set(), [])
    assert job("--dry-run") == 0


@pytest.mark.exhaustive
@pytest.mark.usefixtures("real_clock")
def test_a_clock_that_is_wrong_by_hours_and_a_name_by_hand_are_fine(job: Job, net: Callable[..., None]) -> None:
    job.hub.ahead = timedelta(hours=-20)
    assert job() == 0
    job.hub.ahead = timedelta(days=-20)
    net("new", 10)
    assert job("--version", "by-hand") == 0
    assert "by-hand" in job.versions()


def test_after_a_night_with_the_clock_ahead_there_is_a_way_back(
    job: Job, net: Callable[..., None], cli: Callable[..., Result]
) -> None:
    wrong = "v2029.05.17"
    tags = job.hub.datasets[REPO].tags
    tags[wrong] = tags.pop(FIRST)
    net("new", 10)
    with pytest.raises(
        PolicyError, match=rf"{wrong}, has a later date.*`filtercrawl rollback .*delete the tag"
    ) as told:
        job()
    assert job.asked_of_zoo() == set()
    withdraw = ("withdraw", REPO, "hub/org/a/model.safetensors", "--reason", "asked")
    assert isinstance(cli(*withdraw).exception, PolicyError)
    assert cli(*withdraw, "--version", "by-hand").exit_code == 0
    command = str(told.value).split("`filtercrawl ")[1].split("`")[0].split()
    assert command[:3] == ["rollback", REPO, wrong]
    command[2] = "by-hand"  # the latest by now
    done = cli(*command)
    assert done.exit_code == 0, done.output
    assert tags[command[-1]] == tags["by-hand"] == job.hub.datasets[REPO].head.sha
    before = dict(tags)
    assert cli(*command).exit_code == 0  # it is done
    assert tags == before
    del tags[wrong], tags["by-hand"]
    assert job() == 0
    assert job.versions() == [command[-1], job.record["version"]]
    assert job.record["version"].startswith("v2026.")
    assert job.record["base"] == command[-1]


@pytest.mark.parametrize("empty", [False, True])
def test_a_token_that_may_not_write_is_found_before_any_work(job: Job, empty: bool) -> None:
    if empty:
        del job.hub.datasets[REPO]
    job.hub.role = "read"
    with pytest.raises(AccessDeniedError, match=r"HF_TOKEN"):
        job()
    assert (job.asked_of_zoo(), len(job.hub.log)) == (set(), 2 if empty else 1)
    assert not (job.folder / "data").exists()
    assert job("--dry-run") == 0


def test_no_token_at_all_is_found_before_any_work(job: Job) -> None:
    del job.hub.datasets[REPO]
    job.hub.token = "hf_secret"
    with pytest.raises(AccessDeniedError, match="no token, or the Hub does not know it"):
        job()
    assert job.asked_of_zoo() == set()


def test_a_hub_that_does_not_tell_of_tokens_is_written_to(job: Job, hub: HubServer) -> None:
    hub.fail("*/auth-check/write", Fault(status=404))
    hub.fail("/api/whoami-v2", Fault(status=404))
    assert job() == 0


def test_a_large_loss_is_found_before_anything_is_read(job: Job, net: Callable[..., None]) -> None:
    for name in ("a", "b"):
        job.hub.delete(f"org/{name}")
    net("new", 10)
    with pytest.raises(PolicyError, match=r"at least 1 of 5 models \(20\.0 %\): hub/org/a/.*--allow-loss"):
        job("--prune")
    assert (job.record["outcome"], job.record["exit_code"]) == ("refused", 4)
    assert "resolve" not in job.asked_of_zoo()
    assert job.fetched_layers() == set()
    assert job.versions() == [FIRST]


@pytest.mark.exhaustive
def test_a_loss_that_might_be_a_rename_is_decided_by_what_is_read(job: Job, net: Callable[..., None]) -> None:
    job.hub.move("org/a", "org/renamed")
    del job.hub.moved["org/a"]
    assert job("--prune") == 0
    assert job.record["checkpoints"]["renamed"] == 1
    job.hub.delete("org/b")
    net("another", 50)
    with pytest.raises(PolicyError, match=r"not published: .*25\.0 %.*org/b.*--allow-loss"):
        job("--prune")
    assert "resolve" in job.asked_of_zoo()


def test_an_opt_out_of_much_is_a_loss_too(job: Job) -> None:
    (job.tmp / "filtercrawl.toml").write_text('[sync]\nopt_out = ["hub:org/*"]\n')
    with pytest.raises(PolicyError, match=r"at least 4 of 5 models"):
        job()
    assert "resolve" not in job.asked_of_zoo()


def test_a_version_that_somebody_publishes_during_the_run_stays_the_last_one(
    job: Job, net: Callable[..., None], hub: HubServer
) -> None:
    net("new", 7)
    repo, watch = hub.datasets[REPO], hub.watch
    theirs = {**repo.head.files, "CHANGES.md": b"## theirs"}

    def publish_theirs(number: int, asked: Asked, when: str) -> Fault | None:
        if asked.path == "/api/models" and "theirs" not in repo.tags:
            repo.tags["theirs"] = hub.append(repo, theirs, "Release theirs")
        return watch(number, asked, when)

    hub.watch = publish_theirs
    with pytest.raises(ConflictError, match="another version was published meanwhile"):
        job(machine="mine")
    assert (job.record["outcome"], repo.head.sha) == ("busy", repo.tags["theirs"])
    assert job(machine="mine") == 0
    assert "hub/org/new/model.safetensors" in models(job.published())


@pytest.mark.parametrize(("code", "outcome"), [(1, "error"), (4, "refused"), (5, "busy"), (130, "stopped"), (2, None)])
def test_json_is_one_record_on_every_exit(job: Job, cli: Callable[..., Result], code: int, outcome: str | None) -> None:
    job.set_day(2)
    folder = job.tmp / "here"
    command = ["release", REPO, *ZOO, "--dataset", str(folder), "--device", "cpu", "--json"]
    if code == 1:
        job.hub.role = "read"
    elif code == 2:
        command += ["--version", "main"]
    elif code == 4:
        job.hub.delete("org/a")
        command.append("--prune")
    elif code == 130:
        interrupted: list[int] = []

        def interrupt(number: int, asked: Asked, when: str) -> None:
            if (asked.kind, when) == ("list", "asked") and not interrupted:  # a second signal would end this process
                interrupted.append(number)
                os.kill(os.getpid(), signal.SIGINT)

        job.hub.watch = interrupt
    if code == 5:
        with locked(folder, create=True):
            done = cli(*command)
    else:
        done = cli(*command)
    printed = json.loads(done.stdout)
    assert (printed["exit_code"], printed.get("outcome")) == (code, outcome)
    assert (printed["why"] if outcome else printed["error"]) is not None


def test_what_is_gone_is_not_said_to_be_removed_and_up_to_date(job: Job) -> None:
    job.hub.delete("org/a")
    assert job() == 0
    assert "1 no longer offered" in job.output
    assert "no longer offered: 1 checkpoint; --prune removes" in job.output
    assert "removed," not in job.output
    assert "nothing to do" not in job.output


def test_what_becomes_gated_removes_no_more_than_the_guard_allows(job: Job) -> None:
    job.hub.repos["org/a"].gated = "auto"
    with pytest.raises(PolicyError, match=r"nothing was read: .*1 of 5 models \(20\.0 %\): hub/org/a/.*--allow-loss"):
        job("--restricted", "remove")
