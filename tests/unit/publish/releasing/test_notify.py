"""The command that is run at the end of a release."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl_publish.releasing.notify import notify, split_command


def test_words_are_split_without_a_shell() -> None:
    assert split_command("mail -s 'a b' $HOME;x") == ["mail", "-s", "a b", "$HOME;x"]
    for command in ("", "   ", "'"):
        with pytest.raises(UsageError, match="--notify-cmd"):
            split_command(command)


def test_the_record_is_on_stdin_and_the_outcome_in_the_environment(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, sys\n"
        f"pathlib.Path({str(out)!r}).write_text(os.environ['FILTERCRAWL_OUTCOME'] + sys.stdin.read())\n"
    )
    assert notify(f"{sys.executable} {script}", {"outcome": "published"}) is None
    assert out.read_text() == "published" + json.dumps({"outcome": "published"})


def test_failures_are_returned() -> None:
    record = {"outcome": "published"}
    assert "exited with 3" in str(notify(f"{sys.executable} -c 'raise SystemExit(3)'", record))
    assert "cannot be run" in str(notify("/no/such/program", record))
