"""The card of exported token sequences."""

from __future__ import annotations

from typing import Final

from filtercrawl_publish.export.tokens.report import TokenExportReport, TokenOptions

_CARD: Final = """# Networks as token sequences

The convolutions of {models:,} networks as {tokens:,} tokens of {size}, from {layers:,} layers, in the form of
SANE (Schürholt, Mahoney and Borth 2024, arXiv 2406.09997). Written by filtercrawl; weights: {view}{where}.

| split | networks |
|---|---|
{rows}

Networks that are kin (copies, fine-tunes, checkpoints of one run, models that share trained layers) are in one split.

## Files

`dataset_torch.train`, `dataset_torch.val` and `dataset_torch.test` hold a file for each network; `torch.load` returns a
dictionary:

| key | content |
|---|---|
| `w` | tokens, float32 `[n, token_size]`: the filters of each layer one after the other, cut and padded with zeros |
| `m` | mask, bool `[n, token_size]`: false where a token is padded |
| `p` | positions, int16 or int32 `[n, 3]`: place in the sequence, layer, filter |
| `props` | labels: what is known of the network; null where it is not |

`index.parquet` has the same labels, the split, the group of kin, and for each layer its id, shape, first token and
number of tokens. To get weights back:

```python
import filtercrawl, pandas as pd, torch

row = pd.read_parquet("index.parquet").iloc[0]
tokens = torch.load(row["file"])["w"]
weights = filtercrawl.detokenize(tokens, [layer["shape"].tolist() for layer in row["layers"]])
```

## What is not here

Biases, normalizations, linear layers and, unless the dataset has them, pointwise convolutions: `tensors_skipped` says
how many tensors of the checkpoint these are, of `tensors_emitted + tensors_skipped`.
"""


def token_card(report: TokenExportReport, options: TokenOptions) -> str:
    """Return the card of an export."""
    return _CARD.format(
        models=sum(report.models.values()),
        tokens=report.tokens,
        layers=report.layers,
        size=f"{options.token_size:,} numbers" if options.token_size else "the length of the longest filter",
        view="as they are stored" if options.view == "raw" else f"the view `{options.view}`",
        where=f"; layers where `{options.where}`" if options.where else "",
        rows="\n".join(f"| {name} | {count:,} |" for name, count in report.models.items()),
    )
