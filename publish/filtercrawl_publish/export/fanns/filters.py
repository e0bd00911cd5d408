"""Filters of several selectivities over the attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl_publish.export.fanns.attributes import value_counts

# In this order.
KINDS: Final = ("none", "em", "emis", "r", "tags")
# Attributes of the filters of each kind.
EXACT_MATCH: Final = "out_channels"
RANGE: Final = "log_norm"
IN_SET: Final = "path"
TAGS: Final = (
    "model", "source", "architecture", "task", "visual_category", "training_datasets", "license", "op", "path",
    "depthwise", "is_first", "out_channels", "positive_taps",
)  # fmt: skip
# How many filters of a kind there are, at most.
_MAX_FILTERS: Final = 16
# Pairs of tags that are tried.
_TRIED: Final = 512

Tag = tuple[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Filter:
    """A condition and the vectors that meet it.

    Attributes:
        sql: The condition over the attributes, in the SQL of DuckDB; `true` for all.
        rows: The vectors, in order.
        label: What has to be equal, or in a list.
        interval: The first and the last value of a range.
        tags: Attributes and values, all of which have to be there.
    """

    sql: str
    rows: NDArray[np.int64]
    label: Any = None
    interval: tuple[int, int] | None = None
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class FilterPool:
    """Makes the filters of each kind; a context manager.

    Attributes:
        table: The attributes of the vectors.
        least: Vectors that a filter has to match.
        seed: Which ranges and tags are tried.
    """

    table: pa.Table
    least: int
    seed: int
    _database: duckdb.DuckDBPyConnection = field(init=False, default_factory=duckdb.connect)

    def __post_init__(self) -> None:
        rows = pa.array(np.arange(self.table.num_rows))
        self._database.register("attributes", self.table.append_column("row", rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def kinds(self) -> dict[str, list[Filter]]:
        """Return the filters by kind, from the most selective on; a kind without filters is left out.

        The kinds: `none`, `em` (a number is equal), `emis` (a text is in a list), `r` (a number is in a range) and
        `tags` (one value or two that a vector has to have).
        """
        all_vectors, tags = [self._filter("true")], self._tags(1) + self._tags(2)
        found = zip(KINDS, (all_vectors, self._exact_match(), self._in_set(), self._ranges(), tags), strict=True)
        return {kind: sorted(filters, key=lambda each: len(each.rows)) for kind, filters in found if filters}

    def _exact_match(self) -> list[Filter]:
        counts = value_counts(self.table[EXACT_MATCH])
        return [self._filter(f"{EXACT_MATCH} = {value}", label=value) for value in self._spread(counts)]

    def _in_set(self) -> list[Filter]:
        counts = value_counts(self.table[IN_SET])
        return [self._filter(condition((IN_SET, value)), label=value) for value in self._spread(counts)]

    def _ranges(self) -> list[Filter]:
        ordered = np.sort(self.table[RANGE].to_numpy())
        random = np.random.default_rng([self.seed, 0])
        found = {}
        for size in self._sizes():
            start = int(random.integers(0, len(ordered) - size + 1))
            interval = int(ordered[start]), int(ordered[start + size - 1])
            found[interval] = f"{RANGE} BETWEEN {interval[0]} AND {interval[1]}"
        return [self._filter(sql, interval=interval) for interval, sql in found.items()]

    def _tags(self, n: int) -> list[Filter]:
        """Return filters of so many tags; such as some vector has, for two at random would have none in common."""
        counts: dict[tuple[Tag, ...], int] = {}
        if n == 1:
            counts = {((name, v),): c for name in TAGS for v, c in value_counts(self.table[name]).items()}
        else:
            random = np.random.default_rng([self.seed, 1])
            rows = random.integers(0, self.table.num_rows, _TRIED)
            for row in self.table.select(TAGS).take(pa.array(rows)).to_pylist():
                own = [tag for name in TAGS for tag in _tags_of(name, row[name])]
                if len(own) > 1:
                    first, second = sorted(random.choice(len(own), 2, replace=False).tolist())
                    counts.setdefault((own[first], own[second]), 0)
            counts = {tags: len(self._rows(_conjunction(tags))) for tags in counts}
        return [self._filter(_conjunction(tags), tags=tags) for tags in self._spread(counts)]

    def _sizes(self) -> list[int]:
        """Return numbers of matching vectors, from `least` to half of all, in equal ratios."""
        most = max(self.table.num_rows // 2, self.least)
        return [round(size) for size in np.geomspace(self.least, most, _MAX_FILTERS)]

    def _spread(self, counts: Mapping[Any, int]) -> list[Any]:
        """Choose values whose numbers of matching vectors are near those of `_sizes`, each once."""
        left = {value: count for value, count in counts.items() if count >= self.least}
        chosen = []
        for size in self._sizes():
            if left:
                chosen.append(min(left, key=lambda value: max(left[value], size) / min(left[value], size)))
                del left[chosen[-1]]
        return chosen

    def _filter(self, sql: str, **about: Any) -> Filter:
        return Filter(sql=sql, rows=self._rows(sql), **about)

    def _rows(self, sql: str) -> NDArray[np.int64]:
        found = self._database.sql(f"SELECT row FROM attributes WHERE {sql} ORDER BY row").fetchnumpy()  # noqa: S608
        return np.asarray(found["row"], np.int64)


def condition(tag: Tag) -> str:
    """Return in SQL, in one line, that a vector has a value, or has it in its list."""
    name, value = tag
    literal = _text_literal(value) if isinstance(value, str) else str(value)
    return f"list_contains({name}, {literal})" if name in ("path", "training_datasets") else f"{name} = {literal}"


def _text_literal(text: str) -> str:
    """Return a text in SQL, with ends of lines as `chr`."""
    pieces = [piece for line in text.splitlines(keepends=True) for piece in _split_end(line)]
    return " || ".join(pieces) or "''"


def _split_end(line: str) -> list[str]:
    content = line.splitlines()[0]
    quoted = ["'" + content.replace("'", "''") + "'"] if content else []
    return quoted + [f"chr({ord(end)})" for end in line.removeprefix(content)]


def _conjunction(tags: Sequence[Tag]) -> str:
    return " AND ".join(condition(tag) for tag in tags)


def _tags_of(name: str, value: Any) -> list[Tag]:
    if value is None:
        return []
    return [(name, item) for item in value] if isinstance(value, list) else [(name, value)]
