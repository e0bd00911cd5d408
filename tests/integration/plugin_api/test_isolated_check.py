"""A plugin is checked by itself: what else is installed takes no part, and what has the same name is named."""

from __future__ import annotations

from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from filtercrawl.testing import check
from support.conformance_plugins import GOOD
from support.conformance_readers import GOOD_READER
from support.plugins import WritePlugin

OTHER = GOOD.replace("size=row", "size=1 + row")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WritePlugin:
    """Install a plugin in a distribution of its own, and return the name of its module."""
    place = tmp_path / "site-packages"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))

    def install(text: str) -> str:
        kind = "readers" if "filtercrawl_readers" in text else "sources"
        name = f"installed_{kind}_{tmp_path.name.replace('-', '_')}"
        (place / f"{name}.py").write_text(text, "utf-8")
        info = place / f"{name}-2.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
        (info / "entry_points.txt").write_text(f"[filtercrawl.{kind}]\n{name} = {name}\n")
        assert any(entry.name == name for found in distributions() for entry in found.entry_points)
        return name

    return install


def test_an_installed_source_of_the_same_name_is_not_mixed_in(write_plugin: WritePlugin, install: WritePlugin) -> None:
    # Of the installed one, which a selector would take, the size is wrong; of the one that is checked, it is not.
    other = install(OTHER)
    report = check(write_plugin(GOOD), only={"sync"})
    assert report.passed == ("sync",)
    (finding,) = report.findings
    assert finding.check == "isolation"
    assert (
        f"the installed plugin {other} (module {other} of {other} 2.5) offers 'good' of the sources too" in finding.what
    )
    assert "choose another name" in finding.what_to_do


def test_a_wrong_source_is_not_helped_by_an_installed_one(write_plugin: WritePlugin, install: WritePlugin) -> None:
    install(GOOD)
    report = check(write_plugin(OTHER), only={"sync"})
    assert [finding.check for finding in report.findings] == ["sync", "sync", "sync", "isolation"]


def test_a_sample_does_not_go_to_the_reader_of_another_plugin(write_plugin: WritePlugin, install: WritePlugin) -> None:
    install(GOOD_READER.replace('name = "odd"', 'name = "greedy"').replace("== MAGIC", "!= b''"))
    assert check(write_plugin(GOOD_READER)).findings == ()


def test_the_name_of_a_bundled_source_is_taken(write_plugin: WritePlugin) -> None:
    (finding,) = check(write_plugin(GOOD.replace('name = "good"', 'name = "timm"')), only={"types"}).findings
    assert (finding.check, "the installed plugin timm" in finding.what) == ("isolation", True)


def test_of_one_distribution_all_plugins_take_part(write_plugin: WritePlugin, install: WritePlugin) -> None:
    from filtercrawl.api.plugin_manager import load_plugins
    from filtercrawl.testing.isolation import isolate

    other = install(GOOD_READER)
    dist = next(found for found in distributions() if found.name == other)
    module = write_plugin(GOOD)
    entry = EntryPoint(name="good", value=module, group="filtercrawl.sources")._for(dist)  # type: ignore[attr-defined]
    isolated = isolate(load_plugins([*load_plugins().entries, entry]), module)
    assert "odd" in {reader.name for reader in isolated.plugins.readers}
    assert isolated.left_out == ()
