"""What `filtercrawl config` shows: every setting, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.config.resolved_settings import resolved_settings


def test_urls_in_lists_are_shown_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "filtercrawl.toml").write_text(
        '[sync]\nopt_out_from = ["names.txt", "https://me:hunter2@host.example/list?token=hunter2"]\n', "utf-8"
    )
    monkeypatch.chdir(tmp_path)
    shown = {row.name: row.value for row in resolved_settings({})}
    assert shown["opt_out_from"] == "names.txt, https://host.example/list"


def test_patterns_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FILTERCRAWL_OPT_OUT", "timm:resnet?, hub:org/*")
    shown = {row.name: row.value for row in resolved_settings({})}
    assert shown["opt_out"] == "timm:resnet?, hub:org/*"
