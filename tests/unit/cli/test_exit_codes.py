"""How commands end that are cancelled outside the part of a run that handles it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
import typer

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.cli import app
from filtercrawl.cli.sync import cancel_on_signal


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_decides_the_exit_code(number: int, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    token = CancellationToken()

    def run() -> None:
        with cancel_on_signal(token):
            signal.raise_signal(number)
            token.raise_if_cancelled()

    with pytest.raises(typer.Exit) as ended:
        run()
    assert ended.value.exit_code == code
    said = capsys.readouterr().err
    assert "stopped; the next run continues from here" in said
    again = "press again to end at once" if number == signal.SIGINT else "a second signal ends it at once"
    assert f"stopping after the checkpoints in progress; {again}" in said


def test_a_dry_run_that_is_stopped_continues_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    token = CancellationToken()

    def run() -> None:
        with cancel_on_signal(token, dry_run=True):
            signal.raise_signal(signal.SIGTERM)
            token.raise_if_cancelled()

    with pytest.raises(typer.Exit):
        run()
    said = capsys.readouterr().err.splitlines()
    assert said == ["stopping; a second signal ends it at once", "stopped; nothing was changed"]


def test_a_used_up_budget_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILTERCRAWL_OPT_OUT_FROM", "http://localhost:9/opt-out.json")
    words = ["sync", f"local:{tmp_path}", "--dataset", f"{tmp_path}/dataset", "--max-requests", "0"]
    monkeypatch.setattr(sys, "argv", ["filtercrawl", *words])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("error: the budget of 0 requests is used up")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (MemoryError(), 1, "error: ran out of memory; give this machine more memory, or set --jobs 1\n"),
        (RuntimeError("can't start new thread"), 1, "error: no further thread can be started; "),
    ],
)
def test_an_interrupt_or_lack_of_memory_while_starting_is_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(app, "load_plugins", fail)
    monkeypatch.setattr(sys, "argv", ["filtercrawl", "config"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == code
    message = capsys.readouterr().err
    assert message.startswith(line)
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["analyze", "--resamples", "-3"], ["analyze", "--by"], ["analyze", "--no"], ["anal"]]
)
def test_a_wrong_command_line_has_the_form_of_other_errors(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["filtercrawl", *words])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


def test_a_wrong_command_line_is_an_object_with_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["filtercrawl", "sync", "--json", "--no-such-option"])
    with pytest.raises(SystemExit):
        app.main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["exit_code"] == 2
    assert "--no-such-option" in printed["error"]
