"""The fixed parts of the card: how to load the dataset, how to cite it, what it does not promise."""

from __future__ import annotations

from typing import Final

LOADING: Final = """\
## Loading

`DIR` is this folder or repository, `org/name`; pin a version with `revision="v2026.11.23"` or `org/name@v2026.11.23`.
pandas and DuckDB read a repository as `hf://datasets/org/name`. With `datasets`, streaming one layer after the other:

```python
from datasets import load_dataset
for row in load_dataset(DIR, "layers", split="train", streaming=True, filters=[("kernel", "==", "3x3")]):
    layer_id, shape, weight = row["layer_id"], row["shape"], row["weight"]  # flat, [out, in/groups, *kernel_size]
```

With DuckDB, over everything but the weights:

```python
import duckdb
sizes = duckdb.sql(f"select kernel, sum(n_kernels) n from '{DIR}/data/index.parquet' where file is not null group by 1")
```

With pandas, one network:

```python
import pandas as pd
index = pd.read_parquet(f"{DIR}/data/index.parquet").dropna(subset="file")
layers = pd.read_parquet(f"{DIR}/{index.file.iloc[0]}", columns=["layer_id", "shape", "weight"])
```

With torch, only the files and row groups that match (`pip install filtercrawl`):

```python
from filtercrawl.load import load_layers, to_tensors
table = load_layers(DIR, "kernel = '3x3' and not depthwise")
weights = to_tensors(table)  # a list of [out, in/groups, 3, 3], without copies
```"""

CITATION: Final = """\
## Citation

Cite the version that you loaded (a tag never moves; `root` in its `manifest.json` is the hash of all its files), and
the checkpoints that you use by the `paper` and `url` of `models`:

```bibtex
@misc{{filtercrawl,
  title = {{Trained convolution kernels, crawled by filtercrawl}},
  note = {{Dataset {dataset_id}, version vYYYY.MM.DD}},
  url = {{https://huggingface.co/datasets/ORG/NAME}}
}}
```

Quality measures, drift and the idea of such a dataset are those of CNN Filter DB (Gavrikov and Keuper, CVPR 2022,
[arXiv:2203.15331](https://arxiv.org/abs/2203.15331))."""

LICENSES: Final = """\
## Licences

Weights stay under the licence of their checkpoint: `license` in `index` and `models`, with the line it was read from
in `license_evidence`. Null means that none was found, which is no permission. `redistributable` in `index` is true
where that licence lets everybody pass the weights on, also for money: {licenses}. {config} A checkpoint is taken
out on request: `withdrawn` lists those that were."""

LIMITS: Final = """\
## Known limits

- Null means unknown, never a guess.
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
