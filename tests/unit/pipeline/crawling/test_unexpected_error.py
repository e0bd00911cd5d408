"""An error that is a bug: whose it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.pipeline.crawling.unexpected_error import unexpected_reason

READER = """
import json

class Reader:
    name = "acme"

    def fail(self):
        return json.loads("{")
"""


def raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(json.JSONDecodeError) as caught:
        call()
    return caught.value


def test_the_distribution_of_the_reader_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, distribution in (("acme_weights", "Acme.Weights"), ("bare_weights", None)):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
        (tmp_path / package / "format.py").write_text(READER)
        if distribution is not None:
            info = tmp_path / f"{package}-1.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
            (info / "entry_points.txt").write_text(f"[filtercrawl.readers]\nacme = {package}\n")
    monkeypatch.syspath_prepend(tmp_path)
    import acme_weights.format
    import bare_weights.format

    acme, bare = acme_weights.format.Reader(), bare_weights.format.Reader()
    readers = (*load_plugins().readers, acme, bare)
    try:
        for reader, owner in ((acme, "Acme.Weights"), (bare, "bare_weights.format")):
            reason = unexpected_reason(raised(reader.fail), readers)
            assert reason.endswith(f"; please report this as a bug of {owner}")
        reason = unexpected_reason(raised(lambda: json.loads("{")), readers)
        assert reason.endswith("; please report this as a bug")
    finally:
        for name in ("acme_weights", "acme_weights.format", "bare_weights", "bare_weights.format"):
            sys.modules.pop(name)


def test_a_bundled_reader_is_of_filtercrawl() -> None:
    readers = load_plugins().readers
    error = None
    try:
        readers[0].can_read(None)  # type: ignore[arg-type]
    except AttributeError as raised:
        error = raised
    assert error is not None
    assert unexpected_reason(error, readers).endswith("; please report this as a bug")
