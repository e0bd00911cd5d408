"""Rows of `models`: published and read back, and what they say about the content of a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.checkpoint import TrainingState
from filtercrawl.config.license_policy import Policy
from filtercrawl.dataset.catalog.encoding import decode_model, encode_model
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.crawl_state import NO_VERSION, AttemptedVersion, CrawlState
from filtercrawl.dataset.schema.model_row import ModelRow

_text = st.none() | st.text()
_texts = st.none() | st.lists(st.text(), max_size=3).map(tuple)
_number = st.none() | st.integers(0, 2**63 - 1)
_time = st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
_versions = st.builds(AttemptedVersion, revision=_text, etag=_text)
_states = st.builds(
    CrawlState,
    tried=st.none() | _versions,
    files=st.none() | st.lists(st.tuples(_text, _text), max_size=3).map(tuple),
    prefix=_text,
    version=_text,
    offered_as=_text,
    restricted=_text,
    url=_text,
)
_rows = st.builds(
    ModelRow,
    model_id=st.text(),
    source=st.text(),
    name=st.text(),
    aliases=_texts,
    outcome=st.sampled_from(["emitted", "no_kernels", "duplicate", "skipped", "failed", "withdrawn"]),
    attempts=st.integers(0, 9),
    next_retry=_time,
    revision=_text,
    etag=_text,
    url=_text,
    training_datasets=_texts,
    step=_number,
    run_final=st.none() | st.booleans(),
    license_policy=st.none() | st.just("metadata"),
    state=_states,
)
ROW = ModelRow(model_id="s/m", source="s", name="m", outcome="emitted", layers_file="data/layers/s/00/m.parquet")


@given(_rows)
def test_the_catalog_gives_back_what_it_was_given(row: ModelRow) -> None:
    assert decode_model(encode_model(row)) == row


@given(_rows)
def test_a_published_row_comes_back_but_for_addresses_of_this_machine(row: ModelRow) -> None:
    read = ModelRow.from_arrow(row.to_arrow())
    assert replace(read, state=CrawlState()) == replace(row, state=CrawlState())
    if row.to_arrow()["state"] is not None:
        assert read.state == replace(row.state, tried=row.attempted_version, url=row.url)
    else:
        assert read.state == CrawlState()
    assert read.attempted_version == row.attempted_version


def test_a_row_of_an_earlier_catalog_is_read() -> None:
    text = (
        '{"model_id": "s/m", "source": "s", "name": "m", "outcome": "failed", "attempts": 2, "aliases": ["n"], '
        '"first_seen": "2026-01-02T03:04:05+00:00", "a_column_of_then": 1, "_tried": {"revision": null, "etag": "e"}, '
        '"_files": [["m", "e"], ["m.data", null]], "_prefix": "", "_url": "file:///home/me/m", "_offered_as": null}'
    )
    assert decode_model(text) == ModelRow(
        model_id="s/m",
        source="s",
        name="m",
        outcome="failed",
        attempts=2,
        aliases=("n",),
        first_seen=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        state=CrawlState(
            tried=AttemptedVersion(etag="e"), files=(("m", "e"), ("m.data", None)), prefix="", url="file:///home/me/m"
        ),
    )


def test_the_published_state_names_no_path_of_this_machine() -> None:
    state = CrawlState(
        tried=AttemptedVersion(revision="r1", etag=None), files=(("m", "e"),), prefix="", version="v",
        offered_as="n", url="file:///home/me/m",
    )  # fmt: skip
    row = replace(ROW, revision="r2", state=state)
    assert row.to_arrow()["state"] == (
        '{"files":[["m","e"]],"offered_as":"n","prefix":"","tried":{"etag":null,"revision":"r1"},"version":"v"}'
    )
    assert replace(row, revision="r1").to_arrow()["state"] == (
        '{"files":[["m","e"]],"offered_as":"n","prefix":"","version":"v"}'
    )
    assert ROW.to_arrow()["state"] is None


@pytest.mark.parametrize("final", [None, True, False])
@pytest.mark.parametrize("training", [None, TrainingState(step=400), TrainingState(step=0, epoch=3)])
def test_what_source_and_file_state_of_the_run_is_kept(final: bool | None, training: TrainingState | None) -> None:
    row = replace(ROW, state=CrawlState(run_final=final, training=training))
    for read in (decode_model(encode_model(row)), ModelRow.from_arrow(row.to_arrow())):
        assert (read.state.run_final, read.state.training) == (final, training)


@pytest.mark.parametrize(
    "text",
    ["[]", "1", '{"tried": 1}', '{"training": 1}', '{"training": {"loss": 1}}', '{"training": {"step": "4"}}',
     '{"files": [1]}', '{"tried": {}}', "{"],
)  # fmt: skip
def test_a_damaged_state_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"state|Expecting"):
        ModelRow.from_arrow({**ROW.to_arrow(), "state": text})


def test_rows_of_before_there_was_a_state() -> None:
    values = ROW.to_arrow()
    del values["state"]
    assert ModelRow.from_arrow(values) == ROW


def test_arrow_takes_a_row() -> None:
    row = replace(ROW, aliases=("a", "b"), last_seen=datetime(2026, 1, 1, tzinfo=UTC), state=CrawlState(prefix="p"))
    batch = pa.RecordBatch.from_pylist([row.to_arrow()], schema=MODELS)
    assert ModelRow.from_arrow(batch.to_pylist()[0]).aliases == ("a", "b")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ROW, "emitted"),
        (replace(ROW, layers_file=None, duplicate_of="s/n", outcome="failed"), "duplicate"),
        (replace(ROW, layers_file=None, license_policy="metadata"), "emitted"),
        (replace(ROW, layers_file=None, outcome="failed"), "no_kernels"),
    ],
)
def test_the_stored_content_has_an_outcome_of_its_own(row: ModelRow, expected: str) -> None:
    assert row.content_outcome == expected


@pytest.mark.parametrize(
    ("row", "policy", "expected"),
    [
        (ROW, "keep", False),
        (ROW, "metadata", True),
        (ROW, "drop", True),
        (replace(ROW, layers_file=None), "metadata", False),
        (replace(ROW, layers_file=None, outcome="skipped"), "drop", False),
        (replace(ROW, layers_file=None, outcome="withdrawn"), "drop", False),
        (replace(ROW, layers_file=None, outcome="failed"), "drop", True),
    ],
)
def test_what_is_held_beyond_a_license(row: ModelRow, policy: Policy, expected: bool) -> None:
    assert row.exceeds(policy) is expected


def test_an_unread_row_matches_no_version() -> None:
    row = replace(
        ROW, file_sha256="0", revision="r", state=CrawlState(tried=AttemptedVersion(revision="r"), version="v")
    )
    unread = row.unread()
    assert unread.file_sha256 is None
    assert unread.attempted_version == NO_VERSION
    assert unread.state.version is None
    lost = replace(row, next_retry=datetime.now(UTC) + timedelta(1)).with_lost_weights("gone")
    assert (lost.outcome, lost.reason, lost.layers_file, lost.next_retry) == ("failed", "gone", None, None)


def test_the_earliest_release_then_the_smallest_name_owns_the_weights() -> None:
    released = [
        ("s/c", "v2026.01.01"),
        ("s/b", None),
        ("s/a", None),
        ("s/d", "v2026.01.01.10"),
        ("s/e", "v2026.01.01.2"),
    ]
    rows = [replace(ROW, model_id=model_id, first_release=version) for model_id, version in released]
    ranked = [row.model_id for row in sorted(rows, key=lambda row: row.ownership_key)]
    assert ranked == ["s/c", "s/e", "s/d", "s/a", "s/b"]
