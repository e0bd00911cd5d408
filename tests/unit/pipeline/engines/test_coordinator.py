"""The actor of a run: answers and budgets."""

from __future__ import annotations

import asyncio

from filtercrawl.pipeline.engines.ray_cluster.coordinator import Answer, Coordinator


def test_an_answer_reaches_the_question_that_it_was_given_to() -> None:
    async def ask() -> tuple[Answer | None, Answer | None]:
        actor = Coordinator(None, None)
        second = asyncio.ensure_future(actor.answer("attempt", 1))
        await actor.reply("attempt", 1, Answer(number=1, owner="lab/net"))
        await actor.reply("attempt", 0, Answer(number=0, defer=True))
        return await actor.answer("attempt", 0), await second

    assert asyncio.run(ask()) == (Answer(number=0, defer=True), Answer(number=1, owner="lab/net"))


def test_as_many_requests_are_admitted_as_the_budget_has() -> None:
    async def ask(actor: Coordinator, *n_bytes: int) -> list[bool]:
        return [await actor.admit(n) for n in n_bytes]

    assert asyncio.run(ask(Coordinator(2, None), 10, 10, 10)) == [True, True, False]
    assert asyncio.run(ask(Coordinator(None, 25), 0, 10, 10, 10)) == [True, True, True, False]
    assert asyncio.run(ask(Coordinator(0, None), 0)) == [False]
    assert asyncio.run(ask(Coordinator(None, None), 10**12)) == [True]
