"""Options and output that commands share."""

from __future__ import annotations

import json
import signal

import pytest
import typer

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled, ConflictError, NetworkError, PolicyError, UsageError
from filtercrawl.cli.options import print_json, with_json_on_every_exit
from filtercrawl.cli.sync import cancel_on_signal


@pytest.mark.parametrize("text", ["plain", "é", "\ud800x", "\udcff", "\x1b[31m", "a\nb"])
def test_any_text_prints_as_json_in_ascii(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": text, text: [text]})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {"name": text, text: [text]}


def ended(error: BaseException | None, *, printed: bool = False, asked: bool = True) -> None:
    def command(*, json: bool) -> None:
        assert json is asked
        if printed:
            print_json({"printed": True})
        if error is not None:
            raise error

    with_json_on_every_exit(command)(json=asked)


def recorded(error: PolicyError) -> PolicyError:
    error.record = {"outcome": "refused", "why": "https://a.b/c?secret=1"}
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NetworkError("HTTP 503"), {"error": "HTTP 503", "exit_code": 1}),
        (UsageError("no such thing"), {"error": "no such thing", "exit_code": 2}),
        (PolicyError("too much"), {"error": "too much", "exit_code": 4}),
        (recorded(PolicyError("too much")), {"outcome": "refused", "why": "https://a.b/c"}),
        (ConflictError("busy"), {"error": "busy", "exit_code": 5}),
        (Cancelled("the budget is used up"), {"error": "Cancelled: the budget is used up", "exit_code": 1}),
        (MemoryError(), {"error": "MemoryError", "exit_code": 1}),
        (KeyboardInterrupt(), {"error": "stopped by a signal", "exit_code": 130}),
        (typer.Exit(143), {"error": "stopped by a signal", "exit_code": 143}),
        (typer.Exit(3), {"error": "ended with exit code 3", "exit_code": 3}),
    ],
)
def test_json_is_one_object_however_a_command_ends(
    error: BaseException, expected: object, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)):
        ended(error)
    assert json.loads(capsys.readouterr().out) == expected
    with pytest.raises(type(error)):
        ended(error, printed=True)
    assert json.loads(capsys.readouterr().out) == {"printed": True}
    with pytest.raises(type(error)):
        ended(error, asked=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [None, typer.Exit(0)])
def test_a_command_that_succeeds_prints_its_own(
    error: BaseException | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if error is None:
        ended(error, printed=True)
    else:
        with pytest.raises(typer.Exit):
            ended(error, printed=True)
    assert json.loads(capsys.readouterr().out) == {"printed": True}


def test_a_signal_before_there_is_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    token = CancellationToken()

    def command(*, as_json: bool) -> None:
        with cancel_on_signal(token):
            signal.raise_signal(signal.SIGINT)
            token.raise_if_cancelled()

    with pytest.raises(typer.Exit):
        with_json_on_every_exit(command)(as_json=True)
    assert json.loads(capsys.readouterr().out) == {"error": "stopped by a signal", "exit_code": 130}
