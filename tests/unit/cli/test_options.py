"""Options and output that commands share."""

from __future__ import annotations

import json

import pytest

from filtercrawl.cli.options import print_json


@pytest.mark.parametrize("text", ["plain", "é", "\ud800x", "\udcff", "\x1b[31m", "a\nb"])
def test_any_text_prints_as_json_in_ascii(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": text, text: [text]})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {"name": text, text: [text]}
