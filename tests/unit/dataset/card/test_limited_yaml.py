"""YAML of strangers: what the safe loader returns, or one clear line, and soon."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.card.limited_yaml import InvalidYamlError, load_yaml
from filtercrawl.dataset.card.yaml_header import split_header

LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
MERGES = LAUGHS.replace("[lol]", "{x: 1}").replace(" [*", " {<<: [*").replace("]\n", "]}\n")
ATTACKS = {
    "aliases of aliases": (LAUGHS, "aliases written out"),
    "merged aliases": (MERGES, "aliases written out"),
    "a long text, often": ("a: &a " + "z" * 100_000 + "\nb: [" + "*a, " * 1000 + "]", "aliases written out"),
    "an alias within itself": ("a: &a [*a]", "stands within what it names"),
    "an alias of nothing": ("a: *b", "for nothing"),
    "deep lists": ("[" * 100_000, "nest"),
    "deep mappings": ("".join(f"{' ' * n}a:\n" for n in range(60)), "nested more than 50"),
    "a number in base 60": ("a: 1" + ":1" * 300_000, "more than 400 digits"),
    "a fraction in base 60": ("a: 1" + ":1" * 300_000 + ".0", "more than 400 digits"),
    "a tagged number": ('a: !!int "1' + ":1" * 300_000 + '"', "more than 400 digits"),
    "a long number": ("a: " + "9" * 1_000_000, "more than 400 digits"),
    "a long text": ("a: " + "x" * 9_000_000, "longer than 8000000"),
    "an object": ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
    "no time": ("!!timestamp x", "."),
    "no truth": ("!!bool x", "."),
    "no number": ("!!int x", "."),
    "an unhashable key": ("? [1]\n: 2", "unhashable"),
    "a control character": ("a: \x07", "."),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_end_soon_and_in_one_line(name: str) -> None:
    text, message = ATTACKS[name]
    started = time.process_time()
    with pytest.raises(InvalidYamlError, match=message) as raised:
        load_yaml(text)
    assert time.process_time() - started < 2
    assert "\n" not in str(raised.value)
    with pytest.raises(DatasetError, match=r"README\.md: its header is not YAML"):
        split_header("README.md", f"---\n{text}\n---\n")


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=5),
        max_leaves=20,
    )
)
def test_what_people_write_is_read(value: object) -> None:
    assert load_yaml(yaml.safe_dump([value, value])) == [value, value]


def test_aliases_and_merged_keys_are_read() -> None:
    assert load_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}
