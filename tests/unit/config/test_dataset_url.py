"""A dataset in an object store: how its URL is read, and where its working folder is."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.config import resolve
from filtercrawl.config.dataset_url import working_folder
from filtercrawl.config.resolved_settings import resolved_settings
from filtercrawl.transport.range_cache import RangeCache


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("s3://bucket/kernels", "s3://bucket/kernels"),
        ("S3://bucket/kernels/", "s3://bucket/kernels"),
        ("s3://bucket", "s3://bucket"),
        ("abfs://container@account.dfs.core.windows.net/k", "abfs://container@account.dfs.core.windows.net/k"),
    ],
)
def test_urls(given: str, url: str, tmp_path: Path) -> None:
    settings = resolve({"dataset": given, "cache": str(tmp_path)})
    assert settings.dataset_url == settings.dataset_name == url
    assert settings.dataset == working_folder(url, tmp_path)
    with pytest.raises(UsageError, match="copy the dataset into a folder"):
        settings.require_folder()


@pytest.mark.parametrize("given", ["s3://", "s3:///", "://bucket", "s3://bucket/two words", "s3://bucket/a\nb"])
def test_what_is_no_url(given: str) -> None:
    with pytest.raises(UsageError, match="is not a path, or a URL such as s3://bucket/name"):
        resolve({"dataset": given})


@pytest.mark.parametrize("given", ["kernels", "./s3", "C:/kernels", "s3:/bucket"])
def test_folders(given: str) -> None:
    settings = resolve({"dataset": given})
    assert settings.dataset_url is None
    assert settings.require_folder() == settings.dataset == Path(given)
    assert settings.dataset_name == str(Path(given))


def test_working_folders_are_apart(tmp_path: Path) -> None:
    folders = {
        working_folder(url, tmp_path) for url in ("s3://a/b-c", "s3://a-b/c", "gs://a/b-c", "s3://a/..", "s3://..")
    }
    assert len(folders) == 5
    assert all(folder.parent == tmp_path / "datasets" and folder.name[0] not in ".-" for folder in folders)


def test_config_shows_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILTERCRAWL_DATASET", "s3://bucket/kernels")
    (shown,) = (setting for setting in resolved_settings({}) if setting.name == "dataset")
    assert (shown.value, shown.origin) == ("s3://bucket/kernels", "FILTERCRAWL_DATASET")


def test_a_full_cache_keeps_working_folders(tmp_path: Path) -> None:
    catalog = working_folder("s3://bucket/kernels", tmp_path) / "catalog"
    catalog.parent.mkdir(parents=True)
    catalog.write_bytes(bytes(1000))
    RangeCache(tmp_path, max_bytes=1).added(1)
    assert catalog.is_file()
