"""A way to write plugins as strangers would."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.plugins import WritePlugin


@pytest.fixture
def write_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WritePlugin:
    """Write a plugin's module where it can be imported, and return its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str) -> str:
        name = f"conforming_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
        return name

    return write
