"""The dataset in the words of Croissant 1.1: JSON-LD for programs that know neither the Hub nor `datasets`.

See https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. Paths are relative to the file, so that a copy of
the folder describes itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from filtercrawl.dataset.card.citation import TITLE, bibtex
from filtercrawl.dataset.card.configs import Config
from filtercrawl.dataset.card.release import Release
from filtercrawl.dataset.card.yaml_header import TAGS
from filtercrawl.dataset.schema.arrow import ROWS
from filtercrawl.dataset.schema.column import TableRow
from filtercrawl.dataset.schema.layer_row import LayerRow

_CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.1"
_PARQUET: Final = "application/x-parquet"
# The tables whose columns are described, and the columns that tell their rows apart.
_RECORDS: Final[Mapping[str, tuple[type[TableRow], str]]] = {
    "index": (ROWS["index"], "layer_id"),
    "models": (ROWS["models"], "model_id"),
    "layers": (LayerRow, "row_id"),
}
_TYPES: Final = {
    pa.string(): "sc:Text",
    pa.bool_(): "sc:Boolean",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
    pa.float32(): "cr:Float32",
    pa.float64(): "cr:Float64",
}
# The context that the specification prescribes.
_CONTEXT: Final[Mapping[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def render_croissant(description: str, dataset_id: str, configs: Sequence[Config], release: Release | None) -> str:
    """Return croissant.json.

    What is not known is left out: creators, and before the first version its name, day and page.

    Args:
        description: One sentence on what the dataset holds.
        dataset_id: The id of the dataset.
        configs: Its configs, but for the list of files, which has the SHA-256 of this file.
        release: The published version that the dataset is; None where it is none.
    """
    tables = [config for config in configs if config.name in ROWS or config.name == "layers"]
    content = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS_TO,
        "name": TITLE,
        "description": description,
        "identifier": dataset_id,
        "keywords": list(TAGS),
        "isLiveDataset": False,
        "citeAs": bibtex(dataset_id, release),
        **(_about_release(release) if release else {}),
        "distribution": [_distribution(config) for config in tables],
        "recordSet": [_record_set(config) for config in tables if config.name in _RECORDS],
    }
    # Without spaces: every version sends the file anew.
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n"


def _about_release(release: Release) -> dict[str, Any]:
    about = {"version": release.semantic_version, "datePublished": release.date}
    if release.hub_id:
        page = f"https://huggingface.co/datasets/{release.hub_id}"
        # Each checkpoint has a license of its own; the card says where it is stated.
        about |= {"url": page, "license": f"{page}#licenses-and-provenance"}
    return {name: value for name, value in about.items() if value is not None}


def _distribution(config: Config) -> Mapping[str, Any]:
    hashes = "" if config.name == "runs" else " Their SHA-256 are in data/files."
    return {
        "@type": "cr:FileSet",
        "@id": f"{config.name}-files",
        "name": f"{config.name}-files",
        "description": f"{config.about}{hashes}",
        "encodingFormat": _PARQUET,
        "includes": list(config.paths),
    }


def _record_set(config: Config) -> dict[str, Any]:
    row, key = _RECORDS[config.name]
    source = {"fileSet": {"@id": f"{config.name}-files"}}
    return {
        "@type": "cr:RecordSet",
        "@id": config.name,
        "name": config.name,
        "description": config.about,
        "key": {"@id": f"{config.name}/{key}"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{config.name}/{column.name}",
                "name": column.name,
                "description": row.DESCRIPTIONS[column.name],
                **_data_type(column.type),
                "source": {**source, "extract": {"column": column.name}},
            }
            for column in row.SCHEMA
        ],
    }


def _data_type(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"dataType": _data_type(kind.value_type)["dataType"], "isArray": True, "arrayShape": "-1"}
    return {"dataType": "sc:DateTime" if pa.types.is_timestamp(kind) else _TYPES[kind]}
