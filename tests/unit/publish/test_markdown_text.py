"""Text from outside in Markdown: shown as it is by a renderer, and readable without one."""

from __future__ import annotations

import html

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from filtercrawl_publish.markdown_text import escape_markdown

MARKUP = "".join(map(chr, range(32, 127))) + "aaa___111...   \u2013é"


@pytest.mark.parametrize(
    "text",
    [
        "hub/org/net_v2/model.safetensors",
        "timm/resnet50.a1_in1k",
        "HTTP 503: try again (3 times), 25.0 % is 'much'; see /data/x-1.pth",
        "a__b_c_ -1",
    ],
)
def test_names_paths_and_sentences_stay_as_they_are(text: str) -> None:
    assert escape_markdown(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>[x](y)", r"&lt;b&gt;\[x\](y)"),
        ("org/_x_", r"org/\_x_"),
        ("1. first", r"1\. first"),
        ("- a", r"\- a"),
        ("a\n# b", r"a \# b"),
        ("https://a.b", r"https\://a.b"),
        ("at _www.a.b, WWW.c.d", r"at \_www\.a.b, WWW\.c.d"),
        ("x" * 301, "x" * 299 + "…"),
    ],
)
def test_markup_is_escaped(text: str, expected: str) -> None:
    assert escape_markdown(text) == expected


@given(st.text(alphabet=MARKUP, max_size=40))
@example("_a_ __b__ *c* 1) d")
@example("===")
@example("a_._b_")
def test_a_renderer_shows_the_text(text: str) -> None:
    shown = " ".join(text.split())
    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"- {escape_markdown(text)}\n")
    inside = rendered.removeprefix("<ul>\n<li>").removesuffix("</li>\n</ul>\n")
    assert html.unescape(inside) == shown
    assert not {"<", ">"} & set(inside)
