"""What the card tells a person: how much there is, of what, and how to load it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from filtercrawl.dataset.configs import Config
from filtercrawl.dataset.tally import Tally

# Lines of a table of counts; what is rarer is summed up in one.
_SHOWN: Final = 15
_NAME_LENGTH: Final = 80


def body(configs: Sequence[Config], tally: Tally) -> str:
    """Return the card's Markdown."""
    names = {config.name for config in configs}
    seen = ", ".join(f"{count:,} {escape(outcome)}" for outcome, count in sorted(tally.outcomes.items()))
    parts = [
        f"# Trained convolution kernels\n\n{tally.kernels:,} convolution kernels in {tally.layers:,} layers, "
        f"taken bit for bit from trained checkpoints by filtercrawl. Checkpoints: {seen or 'none'}.",
        _counts("source", tally.by_source),
        _counts("kernel", tally.by_kernel),
        _counts("licence", tally.by_license),
        "## Configs\n\n" + _table(("config", "rows", "files", "MB", "what"), map(_config_line, configs)),
        _EXAMPLES if {"layers", "index"} <= names else "",
        _LIMITS,
    ]
    return "\n\n".join(part for part in parts if part)


def escape(text: str) -> str:
    """Make foreign text safe inside Markdown and HTML: one short line in which nothing is markup."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > _NAME_LENGTH:
        line = line[: _NAME_LENGTH - 1] + "…"
    return "".join(c if c.isalnum() or ord(c) > 127 or c in " .,-" else f"&#{ord(c)};" for c in line)


def _config_line(config: Config) -> tuple[str, ...]:
    megabytes = sum(file.size for file in config.files) / 1e6
    return f"`{config.name}`", f"{config.rows:,}", f"{len(config.files):,}", f"{megabytes:,.2f}", config.about


def _counts(title: str, kernels: Counter[str] | Counter[str | None]) -> str:
    ranked = sorted(kernels.items(), key=lambda item: (-item[1], item[0] or ""))
    lines = [("unknown" if name is None else escape(name), f"{n:,}") for name, n in ranked[:_SHOWN]]
    if rest := ranked[_SHOWN:]:
        lines.append((f"{len(rest):,} others", f"{sum(n for _, n in rest):,}"))
    return _table((title, "kernels"), lines) if lines else ""


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines))


_EXAMPLES: Final = """\
## Loading

`DIR` is this folder or repository. With `datasets`, streaming one layer after the other into torch:

```python
from datasets import load_dataset
rows = load_dataset(DIR, "layers", split="train", streaming=True, filters=[("kernel", "==", "3x3")])
for row in rows.with_format("torch"):
    weight = row["weight"].reshape(row["shape"].tolist())  # [out, in/groups, *kernel_size]
```

With pandas, one network; `index` says without a weight what there is and where it lies:

```python
import pandas as pd
index = pd.read_parquet(f"{DIR}/data/index.parquet").dropna(subset="file")
layers = pd.read_parquet(f"{DIR}/{index.file.iloc[0]}", columns=["layer_id", "shape", "weight"])
```

With DuckDB:

```python
import duckdb
duckdb.sql(f"select kernel, sum(n_kernels) from '{DIR}/data/index.parquet' group by all order by 2 desc")
```"""

_LIMITS: Final = """\
## Known limits

- Null means unknown, never a guess; a licence is that of the checkpoint, row by row, in `index` and `models`.
- `depthwise`, `groups` and the operator are certain where `operator_verified` is true; elsewhere they follow
  from names and shapes.
- `layers` holds every emitted layer of every distinct checkpoint, also fixed filters, intermediate
  checkpoints and layers that several checkpoints share: `weight_kind`, `run_final` and `duplicate_of` in
  `index` tell them apart.
- A dense layer written as one huge convolution can outnumber all other kernels of its size (`dense_as_conv`).
- Filter by `kernel`, not by the list `kernel_size`. Shuffle a stream with a small buffer: a row is a whole
  layer.
- `samples` is at most 64 kernels a layer, picked by hash: enough for many statistics, without `layers`.
- `sketches` are sums that merge: covariances and histograms of any group of layers, without `layers`. A layer that
  was crawled before there were sketches has none."""
