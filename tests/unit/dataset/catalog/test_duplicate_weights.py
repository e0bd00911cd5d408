"""Who stores the weights that several checkpoints have in common, and who takes them over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.config.license_policy import METADATA, LicensePolicy
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership, assign_roles, duplicate_sets
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.files.layers_reader import LayersFileReader
from filtercrawl.dataset.schema.crawl_state import NO_VERSION, CrawlState
from filtercrawl.dataset.schema.model_row import ModelRow
from support.stored_checkpoints import Repository, model_row, stage, store, stored, weight, writable_dataset

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SAME = {"file_sha256": "a" * 64}
WITHHOLD_GPL = LicensePolicy(metadata=("GPL-3.0",))


# Roles in a group of checkpoints with equal layers.


def may_publish(row: ModelRow) -> bool:
    return row.license != "GPL-3.0"


def tensors(digest: str, *, linked: bool = False) -> CrawlState:
    return CrawlState(tensors=digest, linked=linked or None)


MEMBERS = st.lists(
    st.builds(
        model_row,
        st.sampled_from("abcdef"),
        file_sha256=st.sampled_from(["a" * 64, "b" * 64, "c" * 64, None]),
        license=st.sampled_from(["MIT", "GPL-3.0"]),
        first_release=st.sampled_from([None, "v1", "v2"]),
        state=st.builds(tensors, st.sampled_from([None, "t", "u"]), linked=st.booleans()),
        outcome=st.sampled_from(["emitted", "duplicate", "failed"]),
        layers_file=st.sampled_from([None, "data/layers/x.parquet"]),
    ),
    min_size=1,
    unique_by=lambda row: row.model_id,
)


@settings(max_examples=50)
@given(MEMBERS, st.randoms())
def test_roles_do_not_depend_on_the_order_of_the_checkpoints(members: list[ModelRow], random: Any) -> None:
    shuffled = random.sample(members, len(members))
    assert assign_roles(shuffled, may_publish) == assign_roles(members, may_publish)


@settings(max_examples=50)
@given(MEMBERS)
def test_what_holds_of_all_roles(members: list[ModelRow]) -> None:
    roles = assign_roles(members, may_publish)
    assert roles.rows.keys() == {row.model_id for row in members}
    for row in members:
        changed = roles.rows[row.model_id]
        assert changed.layers_file is None  # whoever owns the weights is given a file later
        if changed.duplicate_of is not None:
            first = roles.rows[changed.duplicate_of]
            assert first.duplicate_of is None
            assert first.license_policy == changed.license_policy
        elif changed.license_policy is None:
            assert may_publish(row)
        expected = "failed" if row.outcome == "failed" else "duplicate" if changed.duplicate_of else "emitted"
        assert changed.outcome == expected
    emitted = [row for row in roles.rows.values() if row.duplicate_of is None and row.license_policy is None]
    assert roles.owner == (min(emitted, key=lambda row: row.ownership_key).model_id if emitted else None)


def test_equal_layers_alone_make_no_duplicate() -> None:
    roles = assign_roles([model_row("a"), model_row("b")], may_publish)
    assert {name: (row.outcome, row.duplicate_of) for name, row in roles.rows.items()} == {
        "lab/a": ("emitted", None), "lab/b": ("emitted", None)
    }  # fmt: skip
    assert roles.owner == "lab/a"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (SAME, SAME, True),
        (SAME, {"file_sha256": "b" * 64}, False),
        ({"file_sha256": None}, {"file_sha256": None}, False),  # nothing is known of either
        ({**SAME, "kernel_policy": "3x3"}, SAME, True),  # the policy says which layers are kept: these are equal
        ({**SAME, "state": CrawlState(prefix="ema.")}, {**SAME, "state": CrawlState(prefix="model.")}, False),
        ({"state": tensors("t")}, {"state": tensors("t")}, True),
        ({"state": tensors("t")}, {"state": tensors("u")}, False),
        ({}, {}, False),
    ],
)
def test_duplicates_have_one_file_or_the_same_tensors(
    one: dict[str, Any], other: dict[str, Any], expected: bool
) -> None:
    assert (len(duplicate_sets([model_row("a", **one), model_row("b", **other)])) == 1) == expected


def test_duplicates_of_a_duplicate_are_duplicates() -> None:
    file_of_a, both, tensors_of_c = SAME, {**SAME, "state": tensors("t")}, {"state": tensors("t")}
    members = [model_row("a", **file_of_a), model_row("c", **tensors_of_c), model_row("d"), model_row("b", **both)]
    found = {frozenset(row.name for row in same) for same in duplicate_sets(members)}
    assert found == {frozenset("abc"), frozenset("d")}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"first_release": "v1"}, {}),  # what a version has stays where it is
        ({"license": "MIT"}, {"license": "GPL-3.0", "first_release": "v1"}),
        ({}, {"state": CrawlState(linked=True)}),
    ],
)
def test_which_of_several_duplicates_is_the_original(first: dict[str, Any], then: dict[str, Any]) -> None:
    roles = assign_roles([model_row("a", **SAME, **then), model_row("b", **SAME, **first)], may_publish)
    assert (roles.owner, roles.rows["lab/a"].duplicate_of) == ("lab/b", "lab/b")


# The same in a dataset.


@pytest.fixture
def data(tmp_path: Path) -> Iterator[WritableDataset]:
    with writable_dataset(tmp_path) as opened:
        yield opened


@pytest.fixture
def ownership(data: WritableDataset) -> WeightOwnership:
    return WeightOwnership(dataset=data)


def numbers(data: WritableDataset, name: str) -> list[float]:
    """The weight of a checkpoint, as its own file has it."""
    file = stored(data, name).layers_file
    (layer,) = data.catalog.layers_of(f"lab/{name}")
    assert file is not None
    reader = LayersFileReader(data.folder / file)
    try:
        found: list[float] = reader.read(layer.layer_sha256 or "", 0, weight(0).size).tolist()
    finally:
        reader.close()
    return found


def test_a_file_of_equal_weights_is_not_kept_twice(data: WritableDataset) -> None:
    original, shared, duplicate = store(data, "a"), store(data, "b"), store(data, "c", file_sha256=None)
    assert original.layers_file is not None
    assert (shared.shares_weights, duplicate.shares_weights) == (True, True)
    assert [path for path, _, _ in data.catalog.layer_files()] == [original.layers_file]
    assert list((data.folder / ".filtercrawl/tmp").iterdir()) == []


def test_an_earlier_name_takes_over_the_weights_that_it_brings(data: WritableDataset) -> None:
    later = store(data, "b", **SAME)
    earlier = store(data, "a", **SAME)
    assert (earlier.outcome, stored(data, "b").duplicate_of) == ("emitted", "lab/a")
    assert (stored(data, "b").layers_file, stored(data, "b").outcome) == (None, "duplicate")
    assert earlier.layers_file not in (None, later.layers_file)
    assert numbers(data, "a") == weight(0).ravel().tolist()


def test_pruning_leaves_a_row_that_says_why(data: WritableDataset, ownership: WeightOwnership) -> None:
    store(data, "a", selectors=("s",))
    ownership.prune("lab/a", "opted out")
    row = stored(data, "a")
    assert (row.outcome, row.reason, row.selectors, row.file_sha256) == ("skipped", "opted out", (), None)
    assert (row.n_layers, row.layers_file) == (None, None)
    assert (data.catalog.layers_of("lab/a"), data.catalog.ledger_of("lab/a")) == ([], [])
    assert data.catalog.needs_export


def test_what_is_unknown_or_withdrawn_is_not_pruned(data: WritableDataset, ownership: WeightOwnership) -> None:
    store(data, "a")
    ownership.withdraw("lab/a", "asked for", NOW)
    withdrawn = stored(data, "a")
    ownership.prune("lab/a")
    ownership.prune("lab/unknown")
    assert list(data.catalog.models()) == [withdrawn]


def test_a_withdrawal_is_noted_once(data: WritableDataset, ownership: WeightOwnership) -> None:
    store(data, "a")
    ownership.withdraw("lab/a", "asked for", NOW)
    ownership.withdraw("lab/a", "asked for again", NOW.replace(year=2027))
    ((model_id, reason, when),) = [(row.model_id, row.reason, row.withdrawn) for row in data.catalog.withdrawn()]
    assert (model_id, reason, when) == ("lab/a", "asked for", NOW)
    assert stored(data, "a").outcome == "withdrawn"
    assert data.catalog.layers_of("lab/a") == []


def test_a_failed_checkpoint_is_read_again(data: WritableDataset, ownership: WeightOwnership) -> None:
    store(data, "a", num_params=54)
    ownership.fail("lab/a", "cannot be stored")
    row = stored(data, "a")
    assert (row.outcome, row.reason, row.num_params) == ("failed", "cannot be stored", None)
    assert (row.file_sha256, row.attempted_version) == (None, NO_VERSION)
    assert data.catalog.layers_of("lab/a") == []


@pytest.mark.parametrize("same", [SAME, {}], ids=["duplicate", "shared"])
def test_the_next_checkpoint_takes_over_the_weights(
    data: WritableDataset, ownership: WeightOwnership, same: dict[str, Any]
) -> None:
    left, heir, other = store(data, "a", **same), store(data, "b", **same), store(data, "c", **same)
    assert (heir.layers_file, other.layers_file) == (None, None)
    ownership.prune("lab/a")
    heir, other = stored(data, "b"), stored(data, "c")
    assert heir.layers_file not in (None, left.layers_file)
    assert (heir.outcome, heir.duplicate_of) == ("emitted", None)
    assert (other.layers_file, other.duplicate_of) == (None, "lab/b" if same else None)
    assert numbers(data, "b") == weight(0).ravel().tolist()
    assert [entry.tensor for entry in data.catalog.ledger_of("lab/b")] == ["conv.weight"]


def test_those_that_share_lost_weights_are_read_again(data: WritableDataset, ownership: WeightOwnership) -> None:
    owner, _, other = store(data, "a"), store(data, "b"), store(data, "c", seed=1)
    (data.folder / str(owner.layers_file)).unlink()
    ownership.prune("lab/a")
    lost = stored(data, "b")
    assert (lost.outcome, lost.file_sha256, lost.n_layers) == ("failed", None, None)
    assert lost.reason == "its weights were lost with lab/a; it is read again"
    assert data.catalog.layers_of("lab/b") == []
    assert stored(data, "c") == other


def test_weights_that_the_last_release_has_are_not_lost(data: WritableDataset) -> None:
    owner, _ = store(data, "a"), store(data, "b")
    repository = Repository(data.folder)
    repository.take(str(owner.layers_file))
    data.catalog.put_released([(path, sha256) for path, _, sha256 in data.catalog.layer_files()], "v1")
    WeightOwnership(dataset=replace(data, layer_store=repository)).prune("lab/a")
    assert numbers(data, "b") == weight(0).ravel().tolist()


def test_who_leaves_without_owning_the_weights_changes_nobody(
    data: WritableDataset, ownership: WeightOwnership
) -> None:
    owner, _ = store(data, "a"), store(data, "b")
    (data.folder / str(owner.layers_file)).unlink()  # whether it is lost is for the start of the next run to find out
    ownership.prune("lab/b")
    assert stored(data, "a") == owner


# Licenses.


def test_withheld_weights_leave_the_other_rows(data: WritableDataset) -> None:
    store(data, "a", license="GPL-3.0")
    WeightOwnership(dataset=data, license_policy=WITHHOLD_GPL).withhold("lab/a")
    row = stored(data, "a")
    assert (row.outcome, row.layers_file, row.license_policy, row.n_layers) == ("emitted", None, METADATA, 1)
    assert len(data.catalog.layers_of("lab/a")) == len(data.catalog.ledger_of("lab/a")) == 1
    assert data.catalog.needs_export


def test_weights_that_another_checkpoint_stores_are_withheld_too(data: WritableDataset) -> None:
    owner, shared = store(data, "a", license="MIT"), store(data, "b", license="GPL-3.0")
    assert shared.shares_weights
    WeightOwnership(dataset=data, license_policy=WITHHOLD_GPL).withhold("lab/b")
    assert (stored(data, "b").license_policy, stored(data, "b").outcome) == (METADATA, "emitted")
    assert stored(data, "a") == owner


def test_what_stores_no_weights_cannot_have_them_withheld(data: WritableDataset) -> None:
    store(data, "a", **SAME)
    duplicate = store(data, "b", license="GPL-3.0", **SAME)
    ownership = WeightOwnership(dataset=data, license_policy=WITHHOLD_GPL)
    ownership.withhold("lab/b")
    ownership.withhold("lab/unknown")
    assert stored(data, "b") == duplicate
    assert not data.catalog.needs_export


def test_weights_that_another_license_allows_pass_on_to_that_checkpoint(data: WritableDataset) -> None:
    left = store(data, "a", license="GPL-3.0", **SAME)
    store(data, "b", license="MIT", **SAME)
    WeightOwnership(dataset=data, license_policy=WITHHOLD_GPL).enforce_licenses()
    heir, row = stored(data, "b"), stored(data, "a")
    assert heir.layers_file not in (None, left.layers_file)
    assert (heir.outcome, heir.license_policy) == ("emitted", None)
    assert (row.outcome, row.duplicate_of, row.layers_file) == ("duplicate", "lab/b", None)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (LicensePolicy(), [("emitted", None), ("emitted", None)]),
        (WITHHOLD_GPL, [("emitted", METADATA), ("emitted", None)]),
        (LicensePolicy(drop=("GPL-3.0",)), [("skipped", None), ("emitted", None)]),
        (LicensePolicy(unknown="metadata"), [("emitted", None), ("emitted", METADATA)]),
    ],
)
def test_licenses_are_enforced(
    data: WritableDataset, policy: LicensePolicy, expected: list[tuple[str, str | None]]
) -> None:
    store(data, "a", 0, license="GPL-3.0")
    store(data, "b", 1)
    WeightOwnership(dataset=data, license_policy=policy).enforce_licenses()
    assert [(row.outcome, row.license_policy) for row in data.catalog.models()] == expected
    assert data.catalog.needs_export == (policy != LicensePolicy())
    assert [row.reason for row in data.catalog.models() if row.outcome == "skipped"] == [
        "license GPL-3.0: the policy is drop" for outcome, _ in expected if outcome == "skipped"
    ]


def test_weights_that_are_nowhere_are_not_promised(data: WritableDataset) -> None:
    owner, _ = store(data, "a"), store(data, "b")
    (data.folder / str(owner.layers_file)).unlink()
    ownership = WeightOwnership(dataset=data)
    with data.catalog.transaction():
        ownership.settle([stored(data, "b")], owner.layers_file)
    row = stored(data, "b")
    assert (row.layers_file, row.license_policy, row.outcome) == (None, METADATA, "emitted")


def test_staged_layers_that_nobody_needs_are_discarded(data: WritableDataset, ownership: WeightOwnership) -> None:
    owner = store(data, "a")
    layers = stage(data.folder, "lab/b")
    assert layers.staged is not None
    with data.catalog.transaction():
        ownership.settle([owner], arriving=("lab/b", layers))
    assert not layers.staged.exists()
    assert stored(data, "a") == owner
