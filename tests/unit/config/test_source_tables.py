"""Tables of single sources: each belongs to an installed source and has only keys that it reads."""

from __future__ import annotations

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config.source_tables import check_source_tables
from support.plugins import Zoo, instead


def test_known_keys_are_accepted(plugins: Plugins) -> None:
    check_source_tables({"timm": {"gated": True, "visual_category": {"cars": "cars"}}, "local": {}}, plugins)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"hub": {"endpint": "x"}}, r"\[sources\.hub\] unknown key 'endpint'; did you mean 'endpoint'\?$"),
        ({"onnx": {"exprots": True}}, r"\[sources\.onnx\] unknown key 'exprots'; did you mean 'exports'\?$"),
        ({"timm": {"gatd": True}}, r"\[sources\.timm\] unknown key 'gatd'; did you mean 'gated'\?$"),
        ({"local": {"x": 1}}, r"\[sources\.local\] unknown key 'x'; known are none"),
        ({"tim": {}}, r"\[sources\.tim\] unknown source 'tim'; did you mean 'timm'\?$"),
        ({"quantum": {}}, r"\[sources\.quantum\] unknown source 'quantum'; known are "),
    ],
)
def test_a_typing_error_names_the_nearest_name(
    plugins: Plugins, tables: dict[str, dict[str, object]], message: str
) -> None:
    with pytest.raises(UsageError, match=rf"^filtercrawl\.toml: {message}") as raised:
        check_source_tables(tables, plugins)
    assert "\n" not in str(raised.value)


def test_a_source_that_was_left_out_keeps_its_table(plugins: Plugins, caplog: pytest.LogCaptureFixture) -> None:
    check_source_tables({"timm": {"gated": True}}, plugins.without_plugin(plugins.origin["timm"]))
    assert "unknown source 'timm'" in caplog.text


def test_a_source_that_states_no_settings_receives_its_table_unchecked(plugins: Plugins) -> None:
    acme = Zoo("acme", lambda: iter(()))
    check_source_tables({"acme": {"anything": 1}}, instead(plugins, sources={"acme": acme}))
