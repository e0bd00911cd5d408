"""Findings of the analysis `spectra`, each derived from rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import CitedRows, Estimate, Finding
from filtercrawl.api.formatting import verb
from filtercrawl_analysis.statistics.groups.group_medians import ALL
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.model_medians import LOWER

LAYERS: Final = "layer_spectra"
MODELS: Final = "model_spectra"
MEDIANS: Final = "spectra_medians"
# Models named; the others are counted.
MAX_NAMED: Final = 5
_NAMES: Final = {"alpha": "alpha", "soft_rank": "the soft rank"}
_MEASURES: Final = {
    "alpha": "lower exponent alpha, that is a heavier tail of eigenvalues,",
    "soft_rank": "lower soft rank, that is eigenvalues further beyond the bulk,",
}


def spectra_findings(models: pa.Table, medians: pa.Table) -> Iterator[Finding]:
    """Yield what tells the spectra of layers from random ones, and how much of the full rank they use.

    Args:
        models: The table `model_spectra`.
        medians: The table `spectra_medians`.
    """
    rows = models.to_pylist()
    for measure, words in _MEASURES.items():
        yield from _against_random(rows, measure, words)
    overall = [(i, row) for i, row in enumerate(medians.to_pylist()) if row["column"] == ALL]
    of_size = {row["measure"]: (i, row) for i, row in overall if row["kernel"] == overall[0][1]["kernel"]}
    if "alpha_ratio" in of_size:
        position, row = of_size["alpha_ratio"]
        text = f"alpha is {row['median']:.2f}{_interval(row, '.2f')} times that of random layers of the same shape."
        label = "alpha of trained layers over that of random ones, in the median model"
        yield _median_finding(position, row, text, label)
    if "stable_rank_share" in of_size:
        position, row = of_size["stable_rank_share"]
        text = f"the stable rank is {row['median']:.0%}{_interval(row, '.0%')} of the full rank."
        yield _median_finding(position, row, text, "stable rank over the full rank, in the median model")


def _against_random(rows: list[dict[str, Any]], measure: str, words: str) -> Iterator[Finding]:
    fitted = [(i, row) for i, row in enumerate(rows) if row[f"{measure}_fitted"]]
    if not fitted:
        yield Finding(text=f"No layer has enough eigenvalues for {_NAMES[measure]}.")
        return
    n_layers, n_lower = (sum(row[f"{measure}_{count}"] for _, row in fitted) for count in ("fitted", "lower"))
    others = [item for item in fitted if item[1][f"{measure}_verdict"] != LOWER]
    lower = (item for item in fitted if item[1][f"{measure}_verdict"] == LOWER)
    told = sorted(lower, key=lambda item: (item[1][f"{measure}_q"], item[0]))
    cited = [i for i, _ in (told or others)[:MAX_NAMED]]
    text = (
        f"{n_lower:,} of {n_layers:,} layers ({n_lower / n_layers:.0%}; 2.5 % by chance) "
        f"{verb(n_lower, 'has', 'have')} a {words} than 39 random layers of the same shape; {len(told)} of "
        f"{_models(len(fitted))} {verb(len(told), 'has', 'have')} more of them than chance."
    )
    estimate = Estimate(
        label=f"of the layers have a lower {_NAMES[measure].removeprefix('the ')} than random ones of their shape",
        value=n_lower / n_layers,
        percent=True,
        note=f"2.5 % by chance; {len(told)} of {_models(len(fitted))} have more than chance (q at most 0.05)",
    )
    layers = CitedRows(table=LAYERS, where={f"{measure}_verdict": LOWER})
    yield Finding(
        text=text,
        table=MODELS,
        row=cited[0],
        other_rows=tuple(cited[1:]),
        estimate=estimate,
        cited_rows=(layers,) if n_lower else (),
    )
    if told and others:
        named = [
            f"{row['model_id']} ({row[f'{measure}_lower']} of {row[f'{measure}_fitted']} layers)"
            for _, row in others[:MAX_NAMED]
        ]
        if (more := len(others) - MAX_NAMED) > 0:
            named.append(f"and {more:,} more")
        first, *further = [i for i, _ in others[:MAX_NAMED]]
        yield Finding(
            text=f"Not told apart from random layers by {_NAMES[measure]}: {', '.join(named)}.",
            table=MODELS,
            row=first,
            other_rows=tuple(further),
        )


def _median_finding(position: int, row: dict[str, Any], text: str, label: str) -> Finding:
    head = f"In the median model ({_models(row['models'])}), for layers of {kernel_phrase(row['kernel'])}, "
    estimate = Estimate(label=label, value=row["median"], low=row["low"], high=row["high"])
    return Finding(text=head + text, table=MEDIANS, row=position, estimate=estimate)


def _interval(row: dict[str, Any], form: str) -> str:
    return "" if row["low"] is None else f" [{row['low']:{form}}, {row['high']:{form}}]"


def _models(count: int) -> str:
    return f"{count:,} model{'s' * (count != 1)}"
