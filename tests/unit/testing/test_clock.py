"""The clock of another day, as a plugin's modules see it."""

from __future__ import annotations

import datetime
import sys
from types import ModuleType

import pytest

from filtercrawl.testing.clock import another_day


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A plugin's module that imports the clock in all ways."""
    module = ModuleType("clocked_plugin")
    exec(
        "import datetime, time\nfrom datetime import date, datetime as moment\nfrom time import time as seconds",
        vars(module),
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize(
    "now",
    [
        lambda plugin: plugin.datetime.datetime.now().timestamp(),
        lambda plugin: plugin.moment.now(datetime.UTC).timestamp(),
        lambda plugin: plugin.date.today().toordinal() * 86400,
        lambda plugin: plugin.time.time(),
        lambda plugin: plugin.time.time_ns() / 1e9,
        lambda plugin: plugin.seconds(),
    ],
)
def test_a_plugin_sees_a_later_day(plugin: ModuleType, now: object) -> None:
    assert callable(now)
    before = now(plugin)
    with another_day("clocked_plugin"):
        assert now(plugin) - before > 300 * 86400
    assert now(plugin) - before < 2 * 86400


def test_types_of_values_are_those_of_any_day(plugin: ModuleType) -> None:
    moment, day = datetime.datetime(2024, 5, 31, tzinfo=datetime.UTC), datetime.date(2024, 5, 31)
    with another_day("clocked_plugin"):
        assert isinstance(moment, plugin.moment)
        assert isinstance(day, plugin.datetime.date)
        assert not isinstance(day, plugin.moment)
        assert isinstance(plugin.moment.now(), plugin.date)
