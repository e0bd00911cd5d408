"""A setting is described once; sizes and durations are read and written back exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.config import PublishSettings, Settings
from filtercrawl.config.fields import parse_duration, parse_size, settings_of, show_duration, show_size, tables_of
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.config.resolve import all_settings, all_tables


@given(st.integers(min_value=0, max_value=2**60))
def test_a_size_is_read_back(size: int) -> None:
    assert parse_size(show_size(size)) == size


@given(st.integers(min_value=0, max_value=10**9))
def test_a_duration_is_read_back(seconds: int) -> None:
    assert parse_duration(show_duration(seconds)) == pytest.approx(seconds, rel=1e-5)


@pytest.mark.parametrize(("size", "text"), [(0, "0"), (1024, "1k"), (1536, "1536"), (16 * 1024**3, "16G")])
def test_sizes_are_shown_with_the_largest_exact_unit(size: int, text: str) -> None:
    assert show_size(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (18000, "5h"), (90, "90s"), (86400, "1d"), (1.5, "1.5s")])
def test_durations_are_shown_with_the_largest_exact_unit(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize("model", [Settings, PublishSettings, LicensePolicy])
def test_every_field_is_described(model: type[object]) -> None:
    described = {*settings_of(model), *tables_of(model)}
    # Of a dataset in an object store `dataset` is the working folder; its URL is no setting of its own.
    assert described == set(model.__dataclass_fields__) - {"dataset_url"}  # type: ignore[attr-defined]


def test_names_of_options_and_variables_are_unique() -> None:
    variables = [setting.variable for setting in all_settings() if setting.variable is not None]
    assert len(variables) == len(set(variables))
    assert list(all_tables()) == ["sync", "publish", "license", "sources", "auth", "mirrors"]


def test_every_description_is_a_sentence() -> None:
    for setting in all_settings():
        assert setting.field.about.help[0].isupper()
        assert setting.field.about.help.endswith(".")


def test_types_carry_their_unit() -> None:
    units = {name: field.type.unit for name, field in settings_of(Settings).items() if field.type.unit}
    sizes = ("max_bytes", "max_disk", "cache_size", "memory_limit")
    times = ("time_limit", "stall_timeout", "cpu_limit", "reading_limit")
    assert units == dict.fromkeys(sizes, "bytes") | dict.fromkeys(times, "seconds")
