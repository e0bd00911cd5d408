"""Log records lose tokens and the secret parts of URLs before they are written, wherever these stand."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any

import pytest

from filtercrawl.cli.log_output import JsonFormatter, LogFormat, RedactionFilter, StderrHandler, configure_logging
from filtercrawl.config import hide_tokens

TOKEN = "hf_0123456789abcdef"
SIGNED = f"https://user:{TOKEN}@cdn.example/net.bin?X-Signature=sealed&token={TOKEN}#part"
SECRETS = (TOKEN, "sealed", "user:")


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.getLogger("filtercrawl.x").makeRecord(
        "filtercrawl.x", logging.INFO, "file", 1, message, args, None, extra=extra
    )
    RedactionFilter(lambda: [TOKEN, "it"]).filter(made)
    return made


@pytest.mark.parametrize("tokens", [(TOKEN, TOKEN[:8]), (TOKEN[:8], TOKEN)])
def test_of_a_token_that_begins_like_another_nothing_is_left(tokens: tuple[str, str]) -> None:
    assert hide_tokens(f"a {TOKEN} b", tokens) == "a (hidden) b"


@pytest.mark.parametrize(
    ("message", "args", "extra"),
    [
        (f"GET {SIGNED} failed", (), {}),
        ("GET %s failed with %r", (SIGNED, {"Authorization": f"Bearer {TOKEN}"}), {}),
        ("failed", (), {"url": SIGNED, "headers": {"Authorization": [f"Bearer {TOKEN}"], TOKEN: 1}}),
        ("failed", (), {"error": ValueError(SIGNED), "nested": ({"urls": {SIGNED}},)}),
    ],
)
def test_secrets_are_removed_from_message_arguments_and_extra_fields(
    message: str, args: tuple[object, ...], extra: dict[str, Any]
) -> None:
    line = JsonFormatter().format(record(message, *args, **extra))
    assert not [secret for secret in SECRETS if secret in json.dumps({**json.loads(line)})]
    assert "failed" in line


def test_secrets_are_removed_from_exceptions_and_stacks() -> None:
    try:
        raise OSError(SIGNED)
    except OSError:
        made = logging.getLogger("x").makeRecord("x", 40, "f", 1, "failed", (), sys.exc_info(), sinfo=f"stack {TOKEN}")
    RedactionFilter(lambda: [TOKEN]).filter(made)
    line = JsonFormatter().format(made)
    assert not [secret for secret in SECRETS if secret in line + str(made.stack_info)]
    assert "OSError: https://cdn.example/net.bin" in json.loads(line)["exception"]


def test_a_wrong_log_call_ends_nothing() -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError(TOKEN)

    for made in (record("%d of %d", "x"), record("odd", value=Odd())):
        line = json.loads(JsonFormatter().format(made))
        assert line["message"].startswith("a log record of file:1 cannot be shown (")
        assert set(line) == {"time", "level", "logger", "message"}


def test_what_is_no_secret_stays() -> None:
    made = record("read %d of %s", 3, "local/it.pt", n=3, ratio=0.5, missing=None, flags=[True])
    line = json.loads(JsonFormatter().format(made))
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "filtercrawl.x",
        "message": "read 3 of local/it.pt",
        "n": 3,
        "ratio": 0.5,
        "missing": None,
        "flags": [True],
    }


def test_text_from_outside_cannot_move_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = written(monkeypatch, LogFormat.TEXT, verbose=False)
    logging.getLogger("filtercrawl.y").warning("bad\x1b[2Jname")
    assert lines() == ["warning: bad\N{REPLACEMENT CHARACTER}[2Jname"]


def written(monkeypatch: pytest.MonkeyPatch, log_format: LogFormat, *, verbose: bool) -> Any:
    """Configure logging, with stderr replaced; returns a function of the lines written so far."""
    stderr = io.StringIO()
    configure_logging(log_format, verbose=verbose)
    monkeypatch.setattr(sys, "stderr", stderr)
    return lambda: stderr.getvalue().splitlines()


@pytest.mark.parametrize(
    ("log_format", "verbose", "levels"),
    [
        (LogFormat.TEXT, False, ["WARNING"]),
        (LogFormat.TEXT, True, ["DEBUG", "INFO", "WARNING", "WARNING"]),
        (LogFormat.JSON, False, ["INFO", "WARNING", "WARNING"]),
        (LogFormat.JSON, True, ["DEBUG", "INFO", "WARNING", "WARNING"]),
    ],
)
def test_levels(monkeypatch: pytest.MonkeyPatch, log_format: LogFormat, verbose: bool, levels: list[str]) -> None:
    lines = written(monkeypatch, log_format, verbose=verbose)
    ours, other = logging.getLogger("filtercrawl_acme"), logging.getLogger("matplotlib.z")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        ours.log(level, "-")
    other.info("not ours")
    # By default the progress display shows it.
    ours.warning("local/net.pt: failed", extra={"checkpoint": "local/net.pt"})
    assert len(lines()) == len(levels)
    assert all(level.lower() in line.lower() for level, line in zip(levels, lines(), strict=True))


def test_a_second_configuration_replaces_the_first() -> None:
    configure_logging()
    configure_logging(LogFormat.JSON)
    [handler] = [handler for handler in logging.getLogger().handlers if isinstance(handler, StderrHandler)]
    assert handler.log_format is LogFormat.JSON


def test_lines_for_people_are_short_and_printable(capsys: pytest.CaptureFixture[str]) -> None:
    handler = StderrHandler(LogFormat.TEXT, verbose=False)
    try:
        raise ValueError("\x1b]0;owned\x07\u202e")
    except ValueError:
        made = logging.getLogger("filtercrawl.x").makeRecord(
            "filtercrawl.x", logging.ERROR, "f", 1, "\x1b[31m%s", ("X" * 1_000_000,), sys.exc_info()
        )
    handler.handle(made)
    lines = capsys.readouterr().err.splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines[0]) < 2100
    assert "owned" in lines[-1]
