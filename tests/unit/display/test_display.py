"""Progress is shown where a person watches and nowhere else; tables of reports escape what strangers wrote."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.display import NotebookProgressBar, ProgressBar, html_table, is_interactive, is_notebook, open_progress


class ZMQInteractiveShell:
    """Named as the shell of a Jupyter kernel."""


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = ZMQInteractiveShell()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]


def show(progress: Progress) -> None:
    progress.start(2)
    progress.step(1, 3, "a long step")
    progress.done("local/a", "emitted")
    progress.done("local/b\x1b[31m", "no such tensor")
    progress.message("the end")


def test_a_script_shows_nothing_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert not is_interactive()
    for asked in (None, False):
        with open_progress(asked, "reading") as progress:
            assert isinstance(progress, NullProgress)
            show(progress)
    assert capsys.readouterr() == ("", "")


def test_a_prompt_is_interactive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert is_interactive()
    assert isinstance(open_progress(None, "reading"), ProgressBar)


def test_an_object_of_the_caller_is_used_as_it_is() -> None:
    mine = NullProgress()
    with open_progress(mine, "reading") as progress:
        assert progress is mine


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with open_progress(True, "reading") as progress:
        show(progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["[1/2] local/a: emitted", "[2/2] local/b\ufffd[31m: no such tensor", "the end"]


@pytest.mark.usefixtures("notebook")
def test_a_notebook_has_a_bar_and_the_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert is_notebook()
    bar = open_progress(None, "reading")
    assert isinstance(bar, NotebookProgressBar)
    with bar as progress:
        show(progress)
    out, err = capsys.readouterr()
    assert out.splitlines() == ["local/b\ufffd[31m: no such tensor", "the end"]
    assert "2/2" in err
    assert "reading" in err


def test_tables_escape_and_are_bounded() -> None:
    rows: dict[str, Any] = {"<b>": "<script>\x1b", "number": 3}
    html = html_table("<i>", rows)
    assert html == (
        "<table><caption>&lt;i&gt;</caption><tr><th>&lt;b&gt;</th><td>&lt;script&gt;\ufffd</td></tr>"
        "<tr><th>number</th><td>3</td></tr></table>"
    )
    assert "5 more" in html_table("many", {str(number): number for number in range(25)})
