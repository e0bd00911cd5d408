"""When a checkpoint was last seen, and what is remembered of an offer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.schema.listing_rows import SourceRow
from support.stored_checkpoints import model_row

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO = "1" * 16, "2" * 16


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path) as opened:
        opened.put_model(model_row("net", last_seen=START, selectors=(ONE, TWO)))
        yield opened


def listed(catalog: Catalog, selector_id: str, when: datetime | None) -> None:
    catalog.put_selector(SourceRow(selector_id=selector_id, source="lab", selector="lab", listed=when))


def last_seen(catalog: Catalog) -> datetime | None:
    (row,) = catalog.models()
    alone = catalog.model(row.model_id)
    assert alone is not None
    assert alone.last_seen == row.last_seen
    return row.last_seen


def test_a_checkpoint_was_last_seen_by_the_last_complete_listing_that_has_it(catalog: Catalog) -> None:
    listed(catalog, ONE, START + DAY)
    assert last_seen(catalog) == START  # nobody said that the listing has it
    catalog.put_offers(ONE, {"lab/net": b"offer"})
    assert last_seen(catalog) == START + DAY
    listed(catalog, TWO, START + 2 * DAY)
    catalog.put_offers(TWO, {"lab/net": None})
    assert last_seen(catalog) == START + 2 * DAY
    listed(catalog, TWO, None)  # one that broke off says nothing of it
    assert last_seen(catalog) == START + 2 * DAY
    assert not catalog.needs_export


def test_what_is_gone_keeps_the_time_of_the_last_listing_that_had_it(catalog: Catalog) -> None:
    listed(catalog, ONE, START + DAY)
    catalog.put_offers(ONE, {"lab/net": b"offer"})
    assert list(catalog.listed_by(ONE)) == [("lab/net", True)]
    catalog.put_gone(ONE, ["lab/net"])
    listed(catalog, ONE, START + 2 * DAY)
    assert last_seen(catalog) == START + DAY
    assert list(catalog.listed_by(ONE)) == [("lab/net", False)]
    assert catalog.offers_of(ONE, ["lab/net"]) == {}


def test_what_an_incomplete_listing_has_was_seen(catalog: Catalog) -> None:
    listed(catalog, ONE, START + DAY)
    catalog.put_offers(ONE, {"lab/net": b"offer"})
    catalog.put_last_seen(["lab/net"], START + 3 * DAY)
    listed(catalog, ONE, None)
    assert last_seen(catalog) == START + 3 * DAY


def test_an_offer_is_forgotten_when_its_row_changes_in_any_way(catalog: Catalog) -> None:
    (row,) = catalog.models()
    listed(catalog, ONE, START + DAY)
    for change in (
        lambda: catalog.put_model(replace(row, tag="other")),
        lambda: catalog.update_model(row.unread()),
        lambda: catalog.put_seen([replace(row, etag="other")]),
        lambda: catalog.put_last_seen(["lab/net"], START),
    ):
        catalog.put_offers(ONE, {"lab/net": b"offer"})
        assert catalog.offers_of(ONE, ["lab/net", "lab/none"]) == {"lab/net": b"offer"}
        assert catalog.offers_of(TWO, ["lab/net"]) == {}
        change()
        assert catalog.offers_of(ONE, ["lab/net"]) == {}
        assert last_seen(catalog) == START + DAY  # that it was seen is not forgotten


def test_selectors_list_what_the_rows_say(catalog: Catalog) -> None:
    (row,) = catalog.models()
    catalog.update_model(replace(row, selectors=(TWO,)))
    assert (list(catalog.listed_by(ONE)), list(catalog.listed_by(TWO))) == ([], [("lab/net", False)])
    catalog.put_model(replace(row, selectors=None))
    assert list(catalog.listed_by(TWO)) == []
    catalog.put_offers(TWO, {"lab/net": b"offer"})  # its row does not name the selector
    assert catalog.offers_of(TWO, ["lab/net"]) == {}
