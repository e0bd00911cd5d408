"""Analyses that read kernels: a night on an empty machine keeps their earlier results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl_publish.verification import verify_folder
from support.nightly import REPO, Job
from support.plugins import instead

pytestmark = pytest.mark.usefixtures("forked_children")

ANALYSES = ("census", "first-layers", "lineage", "spectra")


def sections(folder: Path) -> dict[str, dict[str, Any]]:
    results = json.loads((folder / "analysis/results.json").read_bytes())
    return {section["name"]: section for section in results["analyses"]}


def test_results_that_need_weights_of_earlier_versions_are_kept(
    job: Job, net: Callable[..., None], plugins: Plugins
) -> None:
    job.plugins = instead(plugins, analyses=tuple(a for a in plugins.analyses if a.name in ANALYSES))
    del job.hub.datasets[REPO]
    assert job(machine="whole") == 0
    assert sections(job.folder).keys() == {"census", "first-layers"}  # the others run only when they are named
    arguments = ["analyze", "--dataset", str(job.folder), "--only", "spectra", "--device", "cpu"]
    assert CliRunner().invoke(build(job.plugins), arguments).exit_code == 0
    net("d", 12)
    assert job(machine="whole") == 0
    assert job.record["analyses_kept"] == ["spectra"]
    before = sections(job.published())
    net("e", 13)
    assert job() == 0
    assert job.record["analyses_left_out"] == {}
    assert job.record["analyses_kept"] == ["first-layers", "spectra"]
    after = sections(job.published())
    assert after["census"]["dataset_state"] != before["census"]["dataset_state"]
    assert {name: after[name] for name in ("first-layers", "spectra")} == {
        name: before[name] for name in ("first-layers", "spectra")
    }
    assert before["spectra"]["tables"]
    assert job.fetched_layers() == set()
    assert list(verify_folder(job.published())) == []
