"""Which checkpoint of a training run is the last one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.pipeline.committing.final_steps import RunMember, final_flags

STEPS = st.none() | st.integers(0, 9)
MEMBERS = st.builds(RunMember, step=STEPS, stated=st.none() | st.booleans(), gone=st.booleans(), usable=st.booleans())


@given(st.lists(STEPS, max_size=8))
def test_the_last_step_is_final_where_all_steps_are_known(steps: list[int | None]) -> None:
    known = [step for step in steps if step is not None]
    expected = [step == max(known) if len(known) == len(steps) else None for step in steps]
    assert final_flags([RunMember(step=step) for step in steps]) == expected


def test_an_unusable_or_vanished_last_step_leaves_the_one_before() -> None:
    for last in (RunMember(step=9, usable=False), RunMember(step=9, gone=True)):
        assert final_flags([RunMember(step=3), RunMember(step=5), last]) == [False, True, None]


def test_a_vanished_step_is_not_final_where_a_later_one_is() -> None:
    assert final_flags([RunMember(step=3, gone=True), RunMember(step=5)]) == [False, True]


def test_the_step_that_a_source_states_as_final_is_the_last() -> None:
    members = [RunMember(step=3), RunMember(step=5, stated=True), RunMember(step=5), RunMember(step=9)]
    assert final_flags(members) == [False, True, True, False]


@given(st.lists(MEMBERS, max_size=8))
def test_what_a_source_states_is_kept_and_nothing_unusable_becomes_final(members: list[RunMember]) -> None:
    for member, final in zip(members, final_flags(members), strict=True):
        if member.stated is not None:
            assert final is member.stated
        elif not member.usable:
            assert final is None
        elif member.gone:
            assert final is not True


@given(st.permutations([RunMember(step=step, gone=step == 4) for step in range(5)]))
def test_the_order_of_the_checkpoints_does_not_matter(members: list[RunMember]) -> None:
    flags = {member.step: final for member, final in zip(members, final_flags(members), strict=True)}
    assert flags == {0: False, 1: False, 2: False, 3: True, 4: None}
