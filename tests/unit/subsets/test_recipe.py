"""Recipes: what is not understood is refused with its key, and the hash is of what decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.subsets.recipe import Recipe, parse_recipe, read_recipe
from filtercrawl.subsets.shipped import shipped_recipes

# The same kernel sizes.
LISTS = (["3x3", "5x5"], ["5x5", "3x3", "5x5"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the key 'name'"),
        ("name = 'A b'", "name: 'A b' is not a name of at most 64 lower-case letters, digits and hyphens"),
        ("name = 1", "name: 1 is not a text"),
        ("name = 'a-b5b6d808fa4b'", "name: 'a-b5b6d808fa4b' ends in a hash, as the folder of a subset does"),
        ("name = 'a'\nsed = 1", "unknown key 'sed'; did you mean 'seed'"),
        ("name = 'a'\nseed = true", "seed: True is not a whole number, 0 or more"),
        ("name = 'a'\nversion = 0", "version: 0 is not a whole number, 1 or more"),
        ("name = 'a'\nlayers = 1", "[layers] 1 is not a table"),
        ("name = 'a'\n[caps]\nlayers_per_modl = 3", "[caps] unknown key 'layers_per_modl'; did you mean"),
        ("name = 'a'\n[caps]\nkernels_per_layer = -3", "[caps] kernels_per_layer: -3 is not a whole number, 1"),
        ("name = 'a'\n[caps]\nkernels_per_layer = 2.5", "kernels_per_layer: 2.5 is not a whole number"),
        ("name = 'a'\n[kernels]\ndead_below = 2", "dead_below: 2 is not a fraction, from 0 to 1"),
        ("name = 'a'\n[kernels]\nmin_norm = nan", "min_norm: nan is not a number, 0 or more"),
        ("name = 'a'\n[layers]\nkernel_sizes = '3x3'", "kernel_sizes: '3x3' is not a list of texts"),
        (
            "name = 'a'\n[layers]\nrange.sparsty = {max = 1}",
            "index has no column 'sparsty'; the nearest are sparsity",
        ),
        ("name = 'a'\n[layers]\nrange.license = {max = 1}", "range: license is not a column of numbers"),
        ("name = 'a'\n[layers]\nrange.sparsity = {most = 1}", "is not a table of columns with min, max or both"),
        ("name = 'a'\n[layers]\nrange = 1", "[layers] range: 1 is not a table of columns"),
        ("name = 'a'\n[layers]\nrange.sparsity = [0, 0.5]", "is not a table of columns with min, max or both"),
        ("name = 'a'\n[layers]\nrange.sparsity = 0.5", "is not a table of columns with min, max or both"),
        ("name = 'a'\n[layers]\nrange.sparsity = {}", "is not a table of columns with min, max or both"),
        (f"name = 'a'\n[kernels]\nmin_norm = 1{'0' * 400}", "0 is not a number, 0 or more"),
        ("name = 'a'\n[deduplicate]\nkernels = 'up'", "kernels: 'up' is not one of none, exact, sign, scale"),
        ("name = 'a'\n[layers]\nkernel_sizes = ['3*3']", "kernel_sizes: '3*3' is not a kernel size such as 3x3"),
        ("name = 'a'\n[layers]\nweight_kinds = ['lerned']", "no kind is named 'lerned'; did you mean 'learned'?"),
        ("name = 'a'\n[layers]\nrange.sparsity = {min = 1, max = 0}", "min not above max"),
        ("name = 'a'\n[kernels]\nmin_norm = 2\nmax_norm = 1", "[kernels] min_norm 2 is above max_norm 1"),
        ("name = 'a'\n[deduplicate]\nwithin = 'model'", "within: 'model' decides nothing without kernels"),
        ("name = 'a'\n[splits]\ntrain = 0.8", "[splits] the sum of the fractions is 0.8, not 1"),
        ("name = ", "mine.toml: "),
    ],
)
def test_what_is_not_understood_is_refused_with_its_key(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_recipe(text, "mine.toml")
    assert str(raised.value).startswith("mine.toml: ")
    assert message in str(raised.value)


def test_the_hash_is_of_what_decides_however_it_is_written() -> None:
    written = (
        "name = 'a'\ndescription = 'One.'\n[layers]\nmin_kernels = 4\nrange.sparsity = {max = 1}\n[splits]\ntrain = 1"
    )
    otherwise = "version = 1\nseed = 0\nlayers = {range = {sparsity = {max = 1.0}}, min_kernels = 4}\nname = 'a' # b"
    assert parse_recipe(written, "").sha256 == parse_recipe(otherwise, "").sha256
    one, other = (parse_recipe(f"name = 'a'\nlayers.kernel_sizes = {sizes}", "") for sizes in LISTS)
    assert one.sha256 == other.sha256
    assert parse_recipe(written.replace("4", "5"), "").sha256 != parse_recipe(written, "").sha256
    assert parse_recipe(f"seed = 1\n{written}", "").sha256 != parse_recipe(written, "").sha256


def test_the_hash_of_a_recipe_is_the_same_for_ever() -> None:
    """Names of folders and citations hold it; a new option must not change it."""
    assert Recipe(name="a").canonical == '{"method":1,"name":"a"}'
    assert Recipe(name="a").folder_name == "a-b5b6d808fa4b"


def test_a_json_file_without_a_recipe_says_what_to_name(tmp_path: Path) -> None:
    for number, text in enumerate(("{}", "[]", '{"name": "a"}')):
        path = tmp_path / f"{number}.json"
        path.write_text(text, "utf-8")
        with pytest.raises(UsageError, match=r"has no recipe; name a TOML file, or the subset\.json of a subset"):
            read_recipe(path)


def test_recipes_that_are_shipped_are_named_as_their_files() -> None:
    assert list(shipped_recipes()) == ["first-layers", "healthy-3x3", "imagenet-only", "redistributable"]
    assert all(recipe.description.endswith(".") for recipe in shipped_recipes().values())
