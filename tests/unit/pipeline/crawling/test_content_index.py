"""The index of known contents, with workers that ask at the same time."""

from __future__ import annotations

import random
import threading
import time

import pytest

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.pipeline.crawling.content_index import ContentIndex, FindOwner

KEY = ("a" * 64, "", "spatial")
OTHER = ("b" * 64, "", "spatial")


def held(owners: dict[ContentKey, str]) -> FindOwner:
    """What the catalog answers that has these owners."""
    return lambda key, other_than: owner if (owner := owners.get(key)) != other_than else None


class Claim(threading.Thread):
    """A claim in a thread of its own. `answer` is a list so that None can be told from no answer."""

    def __init__(self, index: ContentIndex, model_id: str, token: CancellationToken | None = None) -> None:
        super().__init__(daemon=True)
        self.answer: list[str | None] = []
        self.error: BaseException | None = None
        self._call = lambda: index.claim(KEY, model_id, token)
        self.start()

    def run(self) -> None:
        try:
            self.answer.append(self._call())
        except Cancelled as error:
            self.error = error

    def is_waiting(self) -> bool:
        self.join(0.05)
        return self.is_alive()


def test_a_known_content_is_found() -> None:
    index = ContentIndex(held({KEY: "lab/a"}))
    assert (index.get(KEY), index.get(OTHER)) == ("lab/a", None)
    assert index.claim(KEY, "lab/b") == "lab/a"


def test_the_first_checkpoint_recorded_for_a_content_stays() -> None:
    index = ContentIndex()
    index.add(KEY, "lab/b")
    index.add(KEY, "lab/a")
    assert index.get(KEY) == "lab/b"
    index.remove(KEY, "lab/a")
    assert index.get(KEY) == "lab/b"
    index.remove(KEY, "lab/b")
    assert index.get(KEY) is None


def test_a_later_checkpoint_waits_for_an_earlier_one_that_reads_the_same_content() -> None:
    index = ContentIndex(tasks=["lab/a", "lab/b"])
    assert index.claim(KEY, "lab/a") is None
    later = Claim(index, "lab/b")
    assert later.is_waiting()
    index.add(KEY, "lab/a")
    assert later.is_waiting()  # until the earlier one is committed
    index.release("lab/a")
    later.join(10)
    assert later.answer == ["lab/a"]


def test_after_a_failure_the_next_checkpoint_reads_the_content() -> None:
    index = ContentIndex(tasks=["lab/a", "lab/b"])
    assert index.claim(KEY, "lab/a") is None
    later = Claim(index, "lab/b")
    index.release("lab/a")
    later.join(10)
    assert later.answer == [None]


def test_an_earlier_checkpoint_never_waits_for_a_later_one() -> None:
    index = ContentIndex(held({OTHER: "lab/c"}), tasks=["lab/a", "lab/b", "lab/c"])
    assert index.claim(KEY, "lab/b") is None
    assert index.claim(KEY, "lab/a") is None
    assert index.claim(OTHER, "lab/a") == "lab/c"  # committed later: it holds its old content until then


def test_a_content_that_an_earlier_checkpoint_may_give_up_is_waited_for() -> None:
    index = ContentIndex(held({KEY: "lab/a"}), tasks=["lab/a", "lab/b"])
    later = Claim(index, "lab/b")
    assert later.is_waiting()
    index.remove(KEY, "lab/a")
    index.release("lab/a")
    later.join(10)
    assert later.answer == [None]


def test_when_the_first_gives_a_content_up_the_next_one_holds_it() -> None:
    def owners(key: ContentKey, other_than: str | None) -> str:
        return "lab/d" if other_than == "lab/a" else "lab/a"

    asked, not_asked = ContentIndex(owners), ContentIndex(owners)
    assert asked.get(KEY) == "lab/a"
    for index in (asked, not_asked):  # whether a worker asked before it was given up makes no difference
        index.remove(KEY, "lab/a")
        assert index.get(KEY) == "lab/d"
        index.forget(KEY)
        assert index.get(KEY) is None


def test_a_content_that_others_held_before_is_not_taken_over() -> None:
    index = ContentIndex(held({KEY: "lab/z"}))
    index.add(KEY, "lab/b")
    assert index.get(KEY) == "lab/z"


def test_its_own_old_content_is_not_waited_for() -> None:
    index = ContentIndex(held({KEY: "lab/a"}), tasks=["lab/a"])
    assert index.claim(KEY, "lab/a") == "lab/a"


def test_a_waiting_worker_can_be_cancelled() -> None:
    index, token = ContentIndex(tasks=["lab/a", "lab/b"]), CancellationToken()
    assert index.claim(KEY, "lab/a") is None
    later = Claim(index, "lab/b", token)
    assert later.is_waiting()
    token.cancel()
    later.join(10)
    assert isinstance(later.error, Cancelled)


def test_closing_ends_all_waits() -> None:
    index = ContentIndex(tasks=["lab/a", "lab/b"])
    assert index.claim(KEY, "lab/a") is None
    later = Claim(index, "lab/b")
    assert later.is_waiting()
    index.close()
    later.join(10)
    assert isinstance(later.error, Cancelled)


@pytest.mark.parametrize("seed", range(10))
def test_answers_do_not_depend_on_timing(seed: int) -> None:
    """In whatever order they claim, the first checkpoint of a content owns it and the others are linked to it."""
    rng = random.Random(seed)
    names = [f"lab/{i:02}" for i in range(24)]
    keys = {name: (f"{rng.randrange(5)}", "", "spatial") for name in names}
    expected: dict[str, str] = {}
    first: dict[tuple[str, str, str], str] = {}
    for name in names:
        expected[name] = first.setdefault(keys[name], name)
    index = ContentIndex(tasks=names)
    answers: dict[str, str | None] = {}
    delays = {name: rng.random() * 0.01 for name in names}

    def work(name: str) -> None:
        time.sleep(delays[name])
        answers[name] = index.claim(keys[name], name)

    threads = {name: threading.Thread(target=work, args=(name,)) for name in names}
    for thread in threads.values():
        thread.start()
    committed: dict[str, str] = {}
    for name in names:  # in order, as the main thread commits
        threads[name].join(10)
        assert not threads[name].is_alive()
        committed[name] = answers[name] or index.get(keys[name]) or name
        index.add(keys[name], name)
        index.release(name)
    assert committed == expected
