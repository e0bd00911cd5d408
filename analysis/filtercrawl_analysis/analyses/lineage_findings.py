"""The sentences of the analysis `lineage`, each with the row that it is derived from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import CitedRows, Estimate, Finding
from filtercrawl.api.formatting import format_plural

Row = dict[str, Any]

# Families named; the others are counted.
_MAX_NAMED: Final = 3
# Rows that a sentence on a family links to.
_MAX_ROWS: Final = 8
_WORDS: Final = {
    "same": "equal or of another precision",
    "quantized": "quantized",
    "scaled": "scaled",
    "negated": "negated",
    "pruned": "pruned",
    "permuted": "with permuted channels",
    "finetune": "trained on",
    "partial": "with some layers of the parent",
}
# Below this probability a row is counted, and said to be uncertain.
_CERTAIN: Final = 0.9


def lineage_findings(lineage: pa.Table, n_models: int) -> Iterator[Finding]:
    """Yield the findings: how many checkpoints were made from others, how, and the largest families.

    Args:
        lineage: The table `lineage`.
        n_models: Number of models, with the duplicates of others.
    """
    rows = lineage.to_pylist()
    if not rows:
        yield Finding(text=f"None of {format_plural(n_models, 'model')} was made from another one of the dataset.")
        return
    counts = Counter(row["relation"] for row in rows)
    kinds = ", ".join(f"{count:,} {_WORDS.get(relation, relation)}" for relation, count in counts.most_common())
    uncertain = sum(row["probability"] < _CERTAIN for row in rows)
    have = "has" if uncertain == 1 else "have"
    doubt = f"; {uncertain:,} of these rows {have} a probability below {_CERTAIN}" if uncertain else ""
    verb = "was" if len(rows) == 1 else "were"
    yield Finding(
        text=f"{format_plural(len(rows), 'checkpoint')} {verb} made from another one: {kinds}{doubt}.",
        estimate=Estimate(
            label="checkpoints were made from another one" if len(rows) > 1 else "checkpoint was made from another one",
            value=len(rows),
            note=f"of {format_plural(n_models, 'model')}; each with a probability in the table",
        ),
        cited_rows=tuple(CitedRows(table="lineage", where={"relation": name}) for name, _ in counts.most_common()),
    )
    roots = Counter(row["root"] for row in rows)
    for root in sorted(roots, key=lambda name: (-roots[name], name))[:_MAX_NAMED]:
        own = [i for i, row in enumerate(rows) if row["root"] == root]
        yield Finding(
            text=_family(root, [rows[i] for i in own]), table="lineage", row=own[0], other_rows=tuple(own[1:_MAX_ROWS])
        )


def _family(root: str, rows: list[Row]) -> str:
    deepest = max(row["generation"] for row in rows)
    through = f", over {deepest} generations" if deepest > 1 else ""
    if len(rows) == 1:
        row = rows[0]
        return f"{row['child']} was made from {root} ({row['relation']}, probability {row['probability']:.2f})."
    counts = Counter(row["relation"] for row in rows)
    kinds = ", ".join(f"{count} {_WORDS.get(relation, relation)}" for relation, count in counts.most_common())
    return f"{root} has {len(rows)} descendants{through}: {kinds}."
