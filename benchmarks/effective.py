"""Hold effective kernels against the libraries' own over the architectures of timm, for benchmarks/effective.md.

python benchmarks/effective.py                     all of timm: about an hour on two cores
python benchmarks/effective.py --only 'rep*' fast* those that a pattern matches; prints and writes nothing

Random weights and random statistics of normalizations, merged by the library in float64. Exits with 1 where a bound
does not hold. Needs no network and 4 GB of memory.
"""

from __future__ import annotations

import argparse
import fnmatch
import gc
import itertools
import json
import multiprocessing
import platform
import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
from filtercrawl.extraction.architecture import Structure, on_meta, trace
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.effective.norm_names import norms_by_name
from filtercrawl.extraction.effective.stored_norm import StoredModules
from support.effective_comparison import MERGES, STANDARDIZED, merged, standardized
from support.effective_networks import effective, largest_error, plans_of, randomize, stored_tensors

REPORT: Final = Path(__file__).with_suffix(".md")
# Of the issue.
BOUND: Final = 1e-6
FOLDED: Final = 200
PRECISION: Final = 0.995
# Architectures with more parameters are not folded; other sizes of them are.
MOST_PARAMETERS: Final = 60_000_000


Row = dict[str, Any]


def measure(name: str) -> Row:
    """Return what is measured of one architecture, but for the folding of normalizations."""
    torch.set_num_threads(1)
    module = on_meta(lambda: timm.create_model(name))
    merges = any(hasattr(part, method) for part in module.modules() for method in MERGES)
    standardizes = any(type(part).__name__ in STANDARDIZED for part in module.modules())
    normalizes = any(name.endswith("running_var") for name in module.state_dict())
    structure = trace(module, seconds=300) if merges or standardizes or normalizes else Structure()
    row: Row = {"name": name, "family": type(module).__module__.rpartition(".")[2], "problem": structure.problem}
    row["parameters"] = sum(parameter.numel() for parameter in module.parameters())
    graph = {facts.layer: facts.norm.path for _, facts, _ in structure.convolutions() if facts.norm is not None}
    row["pairs"] = len(graph)
    if normalizes and structure.problem is None:
        row["by_names"] = {mode: by_names(module, graph, mode) for mode in ("registered", "sorted")}
    if merges:
        row["merged"] = merged(name, structure)
    if standardizes:
        row["standardized"] = standardized(name, structure)
    gc.collect()
    return row


def by_names(module: nn.Module, graph: dict[str, str], mode: str) -> Row:
    """Compare the pairs that names and sizes tell with those of the graph."""
    state = module.state_dict()
    order = sorted(state) if mode == "sorted" else state
    tensors = stored_tensors({key: state[key] for key in order}, numbers=False)
    found = norms_by_name(classify_tensors(tensors).layers, StoredModules(tensors))
    wrong = [path for (_, path), norm in found.items() if graph.get(path) != norm.path]
    return {"found": len(found), "wrong": wrong}


def folded(name: str) -> Row:
    """Compare folded normalizations with `fuse_conv_bn_eval`."""
    torch.set_num_threads(1)
    structure = trace(on_meta(lambda: timm.create_model(name)), seconds=300)
    module = randomize(timm.create_model(name))
    plans = [plan for plan in plans_of(stored_tensors(module.state_dict()), structure) if plan.norm and not plan.block]
    parts = dict(module.double().named_modules())
    errors = []
    for plan in plans:
        conv, norm = parts[plan.layer.path], parts[plan.norm.path if plan.norm else ""]
        if plan.parametrization is not None or (conv.transposed and conv.groups > 1):
            continue  # torch folds neither
        assert isinstance(norm, _BatchNorm)
        fused = fuse_conv_bn_eval(conv, norm, transpose=conv.transposed)
        weight, bias = effective(plan)
        theirs = fused.weight.detach()
        if conv.transposed:
            theirs = torch.cat([group.transpose(0, 1) for group in theirs.chunk(conv.groups)])
        errors.append(largest_error(weight, theirs))
        errors.append(largest_error(bias, fused.bias.detach()) if bias is not None else 1.0)
    gc.collect()
    return {"name": name, "kernels": len(errors) // 2, "error": max(errors, default=0.0)}


def chosen(rows: list[Row]) -> list[str]:
    """Return the architectures whose normalizations are folded: smallest first, in turn from every family."""
    families: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["parameters"])):
        if row["pairs"] and row["problem"] is None and row["parameters"] <= MOST_PARAMETERS:
            families[row["family"]].append(row)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*families.values()))
    return [row["name"] for row in turns if row is not None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="architectures of timm")
    parser.add_argument("--report", action="store_true", help="write the page from what --results keeps")
    parser.add_argument("--results", type=Path, help="file that keeps what is measured, so that a run may be resumed")
    arguments = parser.parse_args()
    names = [n for n in timm.list_models() if not arguments.only or any(fnmatch.fnmatch(n, p) for p in arguments.only)]
    known = read_results(arguments.results)
    if arguments.report:
        text, holds = report(known["measure"], [row for row in known["folded"] if row["kernels"]])
        REPORT.write_text(text)
        return 0 if holds else 1
    rows, fused = [], []
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=40) as pool:
        for kind, function, found in (("measure", measure, rows), ("folded", folded, fused)):
            wanted = names if kind == "measure" else chosen(rows)
            done = {row["name"]: row for row in known[kind]}
            found += [done[name] for name in wanted if name in done]
            missing = [name for name in wanted if name not in done]
            if kind == "folded":
                found[:] = [row for row in found if row["kernels"]]
            for row in pool.imap(function, missing):
                if kind == "folded" and len(found) >= FOLDED:
                    break
                keep_result(arguments.results, kind, row)
                if kind == "measure" or row["kernels"]:
                    found.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
            if kind == "folded":
                del found[FOLDED:]
    text, holds = report(rows, fused)
    print(text)
    if not arguments.only:
        REPORT.write_text(text)
    return 0 if holds else 1


def read_results(path: Path | None) -> dict[str, list[Row]]:
    """Return what earlier runs measured."""
    known: dict[str, list[Row]] = {"measure": [], "folded": []}
    if path is not None and path.exists():
        for line in path.read_text().splitlines():
            kind, row = json.loads(line)
            known[kind].append(row)
    return known


def keep_result(path: Path | None, kind: str, row: Row) -> None:
    """Append a measurement to the file of results."""
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps([kind, row]) + "\n")


TEMPLATE: Final = """# Effective kernels against the libraries' own

Written by `python benchmarks/effective.py`, with timm {timm}, torch {torch} and Python {python}. Weights and statistics
of normalizations are random; the libraries merge in float64. An error is the largest difference within a layer, of the
weight or of the bias, relative to the largest magnitude in it; the bound is {bound:g}.

## Merged branches

All {n_merging} architectures of timm that merge branches into a spatial kernel (`reparameterize`, `fuse` or
`switch_to_deploy`). Every spatial convolution of the merged network is compared: once with the network built, so that
the epsilon of each normalization is known, and once by names and shapes of the state dict alone, with torch's default.

| architecture | merged kernels | convolutions compared | largest error, built | largest error, by names |
|---|---|---|---|---|
{merging}

{n_others} more have such a method that merges no branches of a spatial convolution: it folds normalizations, or works
on fully connected and pointwise layers ({others}).

## Standardized weights

All {n_standard} architectures with `StdConv2d` or `ScaledStdConv2d`, against the weights that the modules pass to the
convolution.

| architecture | kernels | largest error |
|---|---|---|
{standard}

## Folded batch normalizations

{n_fused} architectures of {n_families} modules of timm, {n_folded:,} spatial convolutions, against
`torch.nn.utils.fusion.fuse_conv_bn_eval`: the largest error is {folding_error:.1e}.

## Normalizations found by names

The rules of `extraction/effective/norm_names.py` see names, shapes and order only, and are held against the graphs of
{n_named:,} architectures that normalize ({n_rows:,} of the {n_all:,} in timm were looked at; {pairs:,} pairs of a
convolution and the normalization that alone takes its output), in the order in which the network registers its modules,
as torch saves them, and sorted by name, as safetensors does.

| order | pairs found | right | of all pairs |
|---|---|---|---|
{named}
"""


def report(rows: list[Row], fused: list[Row]) -> tuple[str, bool]:
    """Return the page, and whether every bound holds."""
    merging = [row for row in rows if "merged" in row and row["merged"]["blocks"]]
    others = [row["name"].partition("_")[0] for row in rows if "merged" in row and not row["merged"]["blocks"]]
    standard = [row for row in rows if "standardized" in row and row["standardized"]["kernels"]]
    named = [row for row in rows if "by_names" in row and (row["pairs"] or row["by_names"]["registered"]["found"])]
    modes = {mode: [row["by_names"][mode] for row in named] for mode in ("registered", "sorted")}
    found = {mode: sum(one["found"] for one in ones) for mode, ones in modes.items()}
    right = {mode: found[mode] - sum(len(one["wrong"]) for one in ones) for mode, ones in modes.items()}
    pairs = sum(row["pairs"] for row in named)
    errors = [row["merged"][f"error_{known}"] for row in merging for known in ("built", "names")]
    errors += [row["standardized"]["error"] for row in standard] + [row["error"] for row in fused]
    holds = max(errors, default=0.0) <= BOUND and all(right[mode] >= PRECISION * found[mode] for mode in modes)
    folded_names = {row["name"] for row in fused}
    text = TEMPLATE.format(
        timm=version("timm"),
        torch=version("torch"),
        python=platform.python_version(),
        bound=BOUND,
        n_merging=len(merging),
        merging="\n".join(
            "| {name} | {blocks} | {kernels} | {error_built:.1e} | {error_names:.1e} |".format(
                name=row["name"], **row["merged"]
            )
            for row in merging
        ),
        n_others=len(others),
        others=", ".join(sorted(set(others))),
        n_standard=len(standard),
        standard="\n".join(
            "| {name} | {kernels} | {error:.1e} |".format(name=row["name"], **row["standardized"]) for row in standard
        ),
        n_fused=len(fused),
        n_families=len({row["family"] for row in rows if row["name"] in folded_names}),
        n_folded=sum(row["kernels"] for row in fused),
        folding_error=max((row["error"] for row in fused), default=0.0),
        n_named=len(named),
        n_rows=len(rows),
        n_all=len(timm.list_models()),
        pairs=pairs,
        named="\n".join(
            f"| {mode} | {found[mode]:,} | {count / max(found[mode], 1):.2%} | {count / max(pairs, 1):.1%} |"
            for mode, count in right.items()
        ),
    )
    return text, holds


if __name__ == "__main__":
    sys.exit(main())
