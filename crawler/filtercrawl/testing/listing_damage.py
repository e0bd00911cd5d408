"""Ways in which the answers of a zoo are damaged: none of them may look like the end of a listing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from filtercrawl.testing.file_server import Answer

_NEXT: Final = re.compile(r'<[^>]*>(?=\s*;\s*rel="?next)')
# Keys of a page that lead to the next one: without one there is none.
_PAGE_KEY: Final = re.compile(r"next|cursor|page|link|more", re.IGNORECASE)
_EMPTY: Final = "empty-page"


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One way to damage an answer.

    Attributes:
        name: What the server does, as the rest of a sentence that starts with it.
        what_to_do: What a source should do.
        apply: Returns the damaged answer; the same one where it cannot be damaged in this way.
    """

    name: str
    what_to_do: str
    apply: Callable[[Answer], Answer]


def damages(answers: list[Answer]) -> Iterator[Damage]:
    """Yield the ways in which the answers of a listing can be damaged."""
    yield Damage(
        name="puts an empty page between two others",
        what_to_do="a page without rows is no end: follow its link, as `transport.pages` does",
        apply=_insert_empty_page,
    )
    yield Damage(
        name="links to a page that is not there",
        what_to_do="let NotFoundError of the transport through: a page that is linked and missing is no end",
        apply=_break_link,
    )
    yield Damage(
        name="sends half of a page",
        what_to_do="let errors of the transport through; `transport.get_json` and `transport.pages` raise them",
        apply=lambda answer: replace(answer, body=answer.body[: len(answer.body) // 2], length=len(answer.body)),
    )
    yield Damage(
        name="sends JSON that breaks off",
        what_to_do="raise where a page cannot be parsed; `transport.get_json` and `transport.pages` do",
        apply=lambda answer: replace(answer, body=answer.body[: len(answer.body) // 2]),
    )
    keys = {key for answer in answers for key in _keys(_parsed(answer))}
    for key in sorted(key for key in keys if not _PAGE_KEY.search(key)):
        yield Damage(
            name=f"leaves out the key {key!r}",
            what_to_do=f"raise where {key!r} is missing: `row[{key!r}]`, and not `row.get({key!r})` with a default",
            apply=lambda answer, key=key: _without_key(answer, key),  # type: ignore[misc]
        )


def _insert_empty_page(answer: Answer) -> Answer:
    """Return an empty page with a link to the same address under another query, which is the page itself."""
    link = answer.headers.get("Link", "")
    content = _parsed(answer)
    if not _NEXT.search(link) or answer.query == _EMPTY or content is None:
        return answer
    headers = {**answer.headers, "Link": _NEXT.sub(f"<{answer.url}?{_EMPTY}>", link)}
    return replace(answer, headers=headers, body=json.dumps(_emptied(content)).encode())


def _break_link(answer: Answer) -> Answer:
    link = answer.headers.get("Link", "")
    headers = {**answer.headers, "Link": _NEXT.sub(f"<{answer.url}.missing>", link)}
    return replace(answer, headers=headers) if _NEXT.search(link) else answer


def _without_key(answer: Answer, key: str) -> Answer:
    content = _parsed(answer)
    return answer if content is None else replace(answer, body=json.dumps(_dropped(content, key)).encode())


def _parsed(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _keys(item)


def _emptied(value: Any) -> Any:
    """Return a page with the same keys and no rows."""
    if isinstance(value, dict):
        return {key: _emptied(item) if isinstance(item, dict | list) else item for key, item in value.items()}
    return [] if isinstance(value, list) else value


def _dropped(value: Any, key: str) -> Any:
    """Return a page without a key, at any depth."""
    if isinstance(value, dict):
        return {name: _dropped(item, key) for name, item in value.items() if name != key}
    return [_dropped(item, key) for item in value] if isinstance(value, list) else value
