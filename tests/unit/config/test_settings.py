"""An option wins over the environment, the environment over the file; mistakes are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.config import Settings, now, resolve


def test_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "filtercrawl.toml").write_text(
        '[sync]\njobs = 3\nkernel-size = "3x3"\nretry = "all"\n[sources.acme]\nurl = "x"'
    )
    monkeypatch.setenv("FILTERCRAWL_JOBS", "4")
    monkeypatch.setenv("FILTERCRAWL_RETRY", "none")
    settings = resolve({"jobs": 5, "retry": None}, tmp_path)
    assert (settings.jobs, settings.retry, settings.kernel_size) == (5, "none", "3x3")
    assert settings.sources == {"acme": {"url": "x"}}
    assert resolve({}, tmp_path).jobs == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sync]\njob = 3", ["[sync] unknown key 'job'; did you mean 'jobs'?"]),
        ("[snyc]\n", ["unknown table 'snyc'; did you mean 'sync'?"]),
        ("[sync]\nquantum = 3", ["unknown key 'quantum'; known are cache, "]),
        ("[sync]\njobs = 0", ["[sync] jobs", "0 is not a whole number, one or more"]),
        ('[mirrors]\n"https://a.example" = 5', ['[mirrors] "https://a.example"', "5 is not a URL in quotation marks"]),
        ('[mirrors]\nhub = "https://a.example"', ['[mirrors] "hub"', "'hub' is not an http or https URL"]),
        ('[sync]\nkernel_size = "5x5"', ["kernel_size", "one of 3x3, spatial, all"]),
        ("[sync", ["filtercrawl.toml"]),
        ("sync = 3", ["unknown key 'sync'"]),
        ("[sources]\nacme = 3", ["[sources.NAME]"]),
        ("[publish]\nmax_loss = 0.1", ["[publish] unknown key 'max_loss'; did you mean 'max_lost'?"]),
        ("[publish]\nmax-lost = 5", ["[publish] max_lost", "5 is not a fraction, from 0 to 1"]),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "filtercrawl.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        resolve({}, tmp_path)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_variable_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    (tmp_path / "filtercrawl.toml").write_text("[sync]\njobs = 3")
    for name in ("JOBS", "DATASET", "DEVICE", "ENGINE", "MAX_BYTES", "LICENSE", "PRUNE", "MAX_LOST", "SIGN_KEY"):
        monkeypatch.setenv(f"FILTERCRAWL_{name}", value)
    assert resolve({}, tmp_path) == replace(Settings(), jobs=3)


def test_an_unknown_variable_is_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "filtercrawl.toml").write_text('[auth."https://acme.org"]\ntoken_env = "FILTERCRAWL_ACME_TOKEN"')
    for name in ("JOBZ", "QUANTUM", "ACME_TOKEN", "OUTCOME", "JOBS"):
        monkeypatch.setenv(f"FILTERCRAWL_{name}", "4")
    assert resolve({}, tmp_path) == resolve({}, tmp_path)
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "unknown environment variable 'FILTERCRAWL_JOBZ'; did you mean 'FILTERCRAWL_JOBS'?"
    assert second.startswith("unknown environment variable 'FILTERCRAWL_QUANTUM'; ")


def test_the_table_of_publishing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "filtercrawl.toml").write_text('[publish]\nmax-lost = 0.1\nnotify_cmd = "mail me"')
    found = resolve({"summary": "~/s.md"}, tmp_path).publish
    assert (found.max_lost, found.notify_cmd, found.summary) == (0.1, "mail me", Path("~/s.md").expanduser())
    monkeypatch.setenv("FILTERCRAWL_MAX_LOST", "0.2")
    assert resolve({}, tmp_path).publish.max_lost == 0.2


class Located:
    """A path of another library."""

    def __fspath__(self) -> str:
        return "~/kernels"


def test_a_path_may_be_any_path_like_object(tmp_path: Path) -> None:
    assert resolve({"dataset": Located(), "cache": Path("c")}, tmp_path).dataset == Path.home() / "kernels"
    for wrong in ("", 3, b"kernels"):
        with pytest.raises(UsageError, match=r"^--dataset: .* is not a path, or a URL such as s3://bucket/name$"):
            resolve({"dataset": wrong}, tmp_path)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("max_bytes", "2G", 2 * 1024**3),
        ("max_bytes", "1.5 MB", int(1.5 * 1024**2)),
        ("max_disk", 77, 77),
        ("time_limit", "5h", 18000.0),
        ("time_limit", "90", 90.0),
        ("prune", "yes", True),
        ("license", "MIT,Apache-2.0", ("MIT", "Apache-2.0")),
        ("license", ["MIT"], ("MIT",)),
    ],
)
def test_values(key: str, text: object, value: object) -> None:
    assert getattr(resolve({key: text}), key) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("max_bytes", "lots"),
        ("time_limit", "soon"),
        ("limit", -1),
        ("limit", True),
        ("limit", 2.5),
        ("dataset", ""),
        ("device", 3),
    ],
)
def test_values_that_are_none(key: str, text: object) -> None:
    with pytest.raises(UsageError, match=f"--{key.replace('_', '-')}"):
        resolve({key: text})


def test_an_error_names_the_variable_or_the_place_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILTERCRAWL_MAX_LOST", "all")
    with pytest.raises(UsageError, match=r"^FILTERCRAWL_MAX_LOST: 'all' is not a fraction, from 0 to 1$"):
        resolve({}, tmp_path)
    monkeypatch.delenv("FILTERCRAWL_MAX_LOST")
    (tmp_path / "filtercrawl.toml").write_text('[sync]\ntime_limit = "later"')
    with pytest.raises(UsageError, match=r"^filtercrawl.toml \[sync\] time_limit: 'later' is not a duration such as"):
        resolve({}, tmp_path)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown setting 'job'; did you mean 'jobs'"):
        resolve({"job": 3})


def test_clock_can_be_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert now().isoformat() == "1970-01-01T00:00:00+00:00"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "noon")
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        now()
