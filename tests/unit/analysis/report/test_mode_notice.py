"""The notice about which drift D a section shows."""

from __future__ import annotations

import pyarrow as pa
import pytest

from filtercrawl_analysis.report.mode_notice import mode_notice


def table(**columns: list[object]) -> pa.Table:
    return pa.table(columns)


@pytest.mark.parametrize(
    ("mode", "warning", "command"), [("sketch", True, "filtercrawl analyze --exact"), ("exact", False, None)]
)
def test_sections_with_a_mode_say_which_d_it_is(mode: str, *, warning: bool, command: str | None) -> None:
    notice = mode_notice([table(x=[1]), table(mode=[None, mode])])
    assert notice is not None
    assert (notice.warning, notice.command) == (warning, command)
    assert "0.635" in notice.text
    assert "0.425" in notice.text


def test_other_sections_say_nothing() -> None:
    assert mode_notice([]) is None
    assert mode_notice([table(x=[1]), table(mode=["fast"])]) is None
