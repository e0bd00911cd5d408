"""How much is known of the effective weights that an analysis sees."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.tables.effective import has_unknown_weight, unknown_weights_text

logger = logging.getLogger(__name__)

_COLUMNS: Final = ("model_id", "weight_kind", "layer_sha256", "effective_sha256", "merged_into")


def effective_counts(folder: Path, analyzed: pa.Table) -> dict[str, int]:
    """Count the layers of the view `effective`, and log how many are left out as their weight is not known.

    Args:
        folder: The dataset folder.
        analyzed: The rows of `index` that are analyzed.

    Returns:
        `total` and `models`: layers and models of the dataset, without merged branches; `unknown`: layers left out;
        of the analyzed layers, `effective`: whose weight is not the stored one, `norm_by_name`: whose normalization
        was found by names and sizes, `eps_assumed`: with an epsilon that is not stated.
    """
    files = DatasetFolder(folder)
    index = files.table("index", list(_COLUMNS))
    unknown = pc.sum(has_unknown_weight(index)).as_py() or 0
    if unknown:
        logger.warning(unknown_weights_text(unknown))
    known = analyzed.filter(pc.is_valid(analyzed["effective_sha256"]))
    recipes = files.table("effective", ["layer_id", "norm_evidence", "eps_assumed"])
    recipes = recipes.filter(pc.is_in(recipes["layer_id"], value_set=known["layer_id"].combine_chunks()))
    return {
        "total": index["merged_into"].null_count,
        "models": pc.count_distinct(index["model_id"]).as_py(),
        "unknown": unknown,
        "effective": known.num_rows,
        "norm_by_name": pc.sum(pc.equal(recipes["norm_evidence"], "names")).as_py() or 0,
        "eps_assumed": pc.sum(recipes["eps_assumed"]).as_py() or 0,
    }
