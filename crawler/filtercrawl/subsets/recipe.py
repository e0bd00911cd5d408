"""A recipe: what a subset consists of, as a TOML file states it."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pyarrow as pa

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import unknown_column, unknown_name
from filtercrawl.dataset.files.subset_folders import ABOUT, SPLITS, folder_name
from filtercrawl.dataset.schema.arrow import INDEX
from filtercrawl.subsets.recipe_values import (
    FLAG,
    FRACTION,
    POSITIVE,
    SEED,
    SIZE,
    TEXT,
    TEXTS,
    Value,
    is_a,
    number,
    one_of,
    read_table,
)

# Changes when the same recipe would select other rows of the same dataset.
METHOD: Final = 1
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
# The name of such a recipe could be that of the folder of another one.
_NAME_WITH_HASH: Final = re.compile(r".*-[0-9a-f]{12}")
_BOUND: Final = number()
_KERNEL_SIZE: Final = re.compile(r"[1-9][0-9]*(x[1-9][0-9]*){0,2}")
_WEIGHT_KINDS: Final = ("learned", "fixed", "dynamic_bank", "standardized", "dense_as_conv")

Equality = Literal["none", "exact", "sign", "scale", "scale_and_sign"]


def _ranges(value: Any) -> dict[str, dict[str, float]]:
    """Read `{COLUMN = {min = A, max = B}}`."""
    ranges: dict[str, dict[str, float]] = {}
    for column, bounds in is_a(dict)(value).items():
        if not is_a(dict)(bounds) or bounds.keys() - {"min", "max"}:
            raise ValueError(bounds)
        ranges[column] = {name: _BOUND(bound) for name, bound in bounds.items()}
        if ranges[column].get("min", -math.inf) > ranges[column].get("max", math.inf):
            raise ValueError(bounds)
    return ranges


_RANGES: Final = Value(
    "a table of columns with min, max or both, such as {sparsity = {max = 0.5}}, min not above max", _ranges
)


@dataclass(frozen=True, kw_only=True)
class LayerRules:
    """The table `[layers]`: a layer is in the subset if it meets all rules; an unknown value meets none.

    Attributes:
        kernel_sizes: Kernel sizes, as in the column `kernel`, in order.
        weight_kinds: Values of `weight_kind`, in order.
        final_only: Whether of the checkpoints of a training run only the last is taken; others are of no known run.
        redistributable: Whether only layers whose license lets everybody redistribute them are taken.
        min_kernels: Kernels that a layer has at least, before rules for kernels.
        range: Bounds, included, by numeric column of `index`.
    """

    kernel_sizes: Annotated[tuple[str, ...], TEXTS] = ()
    weight_kinds: Annotated[tuple[str, ...], TEXTS] = ()
    final_only: Annotated[bool, FLAG] = False
    redistributable: Annotated[bool, FLAG] = False
    min_kernels: Annotated[int | None, POSITIVE] = None
    range: Annotated[Mapping[str, Mapping[str, float]], _RANGES] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if malformed := [size for size in self.kernel_sizes if not _KERNEL_SIZE.fullmatch(size)]:
            raise ValueError(f"kernel_sizes: {malformed[0]!r} is not a kernel size such as 3x3")
        for kind in self.weight_kinds:
            if kind not in _WEIGHT_KINDS:
                raise ValueError(f"weight_kinds: no kind is named {unknown_name(kind, _WEIGHT_KINDS)}")
        for name in self.range:
            if name not in INDEX.names:
                raise ValueError(f"range: index has no column {unknown_column(name, INDEX.names)}")
            kind = INDEX.field(name).type
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                raise ValueError(f"range: {name} is not a column of numbers, but of {kind}")


@dataclass(frozen=True, kw_only=True)
class KernelRules:
    """The table `[kernels]`: rules that need weights.

    Attributes:
        finite: Whether kernels with NaN or infinities are excluded.
        dead_below: Kernels are excluded if every magnitude is below this share of the layer's largest; `n_dead` in
            `index` counts those below 0.01.
        min_norm: The L2 norm that a kernel has at least.
        max_norm: The L2 norm that a kernel has at most.
    """

    finite: Annotated[bool, FLAG] = False
    dead_below: Annotated[float | None, FRACTION] = None
    min_norm: Annotated[float | None, SIZE] = None
    max_norm: Annotated[float | None, SIZE] = None

    def __post_init__(self) -> None:
        if self.min_norm is not None and self.max_norm is not None and self.min_norm > self.max_norm:
            raise ValueError(f"min_norm {self.min_norm:g} is above max_norm {self.max_norm:g}")


@dataclass(frozen=True, kw_only=True)
class Deduplication:
    """The table `[deduplicate]`: of equals, the first by layer id and place is kept.

    Attributes:
        layers: Whether of layers with the same bytes one is kept.
        kernels: Which kernels are equal: those with the same numbers; also those with all signs changed; or divided
            by their largest magnitude in float32.
        within: Among which kernels equal ones are looked for.
    """

    layers: Annotated[bool, FLAG] = False
    kernels: Annotated[Equality, one_of("none", "exact", "sign", "scale", "scale_and_sign")] = "none"
    within: Annotated[Literal["layer", "model", "subset"], one_of("layer", "model", "subset")] = "subset"

    def __post_init__(self) -> None:
        if self.kernels == "none" and self.within != "subset":
            raise ValueError(
                f"within: {self.within!r} decides nothing without kernels, which says what equal kernels are"
            )


@dataclass(frozen=True, kw_only=True)
class Caps:
    """The table `[caps]`: at most so many are taken, picked by a hash of the seed and the id.

    Attributes:
        models_per_family: Models of unknown family are no family.
        layers_per_model: Layers.
        kernels_per_layer: Kernels, picked after all rules.
        kernels_per_model: Kernels, picked after all rules.
    """

    models_per_family: Annotated[int | None, POSITIVE] = None
    layers_per_model: Annotated[int | None, POSITIVE] = None
    kernels_per_layer: Annotated[int | None, POSITIVE] = None
    kernels_per_model: Annotated[int | None, POSITIVE] = None


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The table `[splits]`: fractions whose sum is 1; models that are kin are in one split.

    Attributes:
        train: Fraction of the groups of kin.
        validation: Fraction of the groups of kin.
        test: Fraction of the groups of kin.
        disjoint_by: `kin`, or `family`: models of one family count as kin too.
    """

    train: Annotated[float, FRACTION] = 1.0
    validation: Annotated[float, FRACTION] = 0.0
    test: Annotated[float, FRACTION] = 0.0
    disjoint_by: Annotated[Literal["kin", "family"], one_of("kin", "family")] = "kin"

    def __post_init__(self) -> None:
        total = sum(self.fractions.values())
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the sum of the fractions is {total:g}, not 1")

    @property
    def fractions(self) -> dict[str, float]:
        """Fraction by split, in the order of `SPLITS`."""
        return {name: getattr(self, name) for name in SPLITS}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe. What it leaves out excludes nothing.

    Attributes:
        name: Of the subset: at most 64 lower-case letters, digits and hyphens.
        version: Raised when the recipe changes.
        description: What the subset is for, a sentence; it decides nothing and is not part of the hash.
        seed: Decides what is picked where there is a cap, and how models are split.
        where: A condition over the columns of `index`, and over those of `models` as `models.NAME`.
        layers: Rules for layers.
        kernels: Rules for kernels.
        deduplicate: What counts once.
        caps: At most how many.
        splits: Train, validation and test.
    """

    name: Annotated[str, TEXT]
    version: Annotated[int, POSITIVE] = 1
    description: Annotated[str, TEXT] = ""
    seed: Annotated[int, SEED] = 0
    where: Annotated[str, TEXT] = ""
    layers: LayerRules = field(default_factory=LayerRules)
    kernels: KernelRules = field(default_factory=KernelRules)
    deduplicate: Deduplication = field(default_factory=Deduplication)
    caps: Caps = field(default_factory=Caps)
    splits: Splits = field(default_factory=Splits)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} is not a name of at most 64 lower-case letters, digits and hyphens")
        if _NAME_WITH_HASH.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} ends in a hash, as the folder of a subset does")

    @cached_property
    def canonical(self) -> str:
        """The recipe as JSON without what has its default: equal recipes have equal text, however they are written."""
        stated = {name: value for name, value in _stated(self).items() if name != "description"}
        return json.dumps({"method": METHOD, **stated}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical recipe."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    @property
    def folder_name(self) -> str:
        """`NAME-HASH`, the name of the folder of a subset."""
        return folder_name(self.name, self.sha256)

    def to_toml_values(self) -> dict[str, Any]:
        """Return what the recipe states, as a file would: without what has its default."""
        return _stated(self)


def _stated(model: Any) -> dict[str, Any]:
    """Return the values of a dataclass that are not their defaults, by name; tables within it likewise."""
    found: dict[str, Any] = {}
    for item in fields(model):
        value = getattr(model, item.name)
        default = item.default if item.default_factory is MISSING else item.default_factory()
        if value != default:
            found[item.name] = _stated(value) if hasattr(value, "__dataclass_fields__") else value
    return found


def parse_recipe(text: str, where: str) -> Recipe:
    """Read a recipe.

    Args:
        text: TOML.
        where: What to call it in errors.

    Raises:
        UsageError: It is no TOML, a key is unknown, or a value is not what it has to be.
    """
    try:
        return _of_table(tomllib.loads(text), where)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def read_recipe(path: Path) -> Recipe:
    """Read the recipe of a TOML file, or of the `subset.json` of a subset.

    Raises:
        UsageError: It cannot be read as a recipe.
    """
    try:
        text = path.read_text("utf-8")
        if path.suffix != ".json":
            return parse_recipe(text, str(path))
        about = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error
    if not isinstance(about, dict) or "recipe" not in about:
        raise UsageError(f"{path}: has no recipe; name a TOML file, or the {ABOUT} of a subset")
    return _of_table(about["recipe"], str(path))


def _of_table(table: Any, where: str) -> Recipe:
    try:
        return read_table(Recipe, table)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
