"""Measure how many architectures of timm and torchvision can be traced, and whether what is found is true.

python benchmarks/structure.py --all      every architecture; writes structure.md beside this file
python benchmarks/structure.py --checks   40 of them against the graph of make_fx and their modules
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn

from filtercrawl.extraction.architecture import Structure, on_meta, trace

# The tests hold their few architectures against the same oracle.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from collections.abc import Iterator

from support.architecture_reference import FAMILIES, attribute_disagreements, depth_disagreements

REPORT = Path(__file__).with_suffix(".md")


@dataclass
class Result:
    """What came of one architecture; CPU seconds of building and tracing."""

    name: str
    build: float = 0.0
    trace: float = 0.0
    problem: str | None = None
    n_convolutions: int = 0
    unreached: int = 0
    depth_differs: int = 0
    disagreements: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    ops: Counter[str] = field(default_factory=Counter)


def sample(name: str, module: nn.Module) -> tuple[object, ...] | None:
    """Return what a network of torchvision takes: images, clips, pairs of images; None for one image."""
    kind = type(module).__module__
    if ".detection." in kind:
        return ([torch.empty(3, 320, 320, device="meta")],)
    if ".video." in kind:
        return (torch.empty(1, 3, 16, 224, 224, device="meta"),)
    if ".optical_flow." in kind:
        image = torch.empty(1, 3, 128, 128, device="meta")
        return image, image
    return (torch.empty(1, 3, 299, 299, device="meta"),) if "inception" in name else None


def build(library: str, name: str) -> nn.Module:
    if library == "timm":
        return on_meta(lambda: timm.create_model(name, pretrained=False))
    given = {"weights": None}
    if torchvision.models.get_model_builder(name).__module__.rpartition(".")[0].endswith(("detection", "segmentation")):
        given["weights_backbone"] = None
    return on_meta(lambda: torchvision.models.get_model(name, **given))


def measure(library: str, name: str) -> Result:
    """Build and trace one architecture, and hold its attributes against its modules'."""
    result = Result(name)
    start = time.process_time()
    try:
        module = build(library, name)
    except Exception as error:  # noqa: BLE001 - the report names what fails
        result.problem = f"cannot be built: {type(error).__name__}: {str(error)[:200]}"
        return result
    built = time.process_time()
    structure = trace(module, sample(name, module) if library == "torchvision" else None)
    result.build, result.trace = built - start, time.process_time() - built
    result.problem = structure.problem
    count(result, structure)
    result.disagreements = attribute_disagreements(module, structure)
    return result


def count(result: Result, structure: Structure) -> None:
    for _, facts, convolution in structure.convolutions():
        result.n_convolutions += 1
        result.kinds[str(facts.weight_kind)] += 1
        result.ops[convolution.op] += 1
        result.unreached += facts.depth is None
        result.depth_differs += facts.depth is not None and facts.depth.conv_depth != facts.depth.n_conv_ancestors


def everything() -> Iterator[tuple[str, str]]:
    yield from (("timm", name) for name in timm.list_models())
    yield from (("torchvision", name) for name in torchvision.models.list_models())


def report(results: dict[str, list[Result]], checks: list[tuple[str, str, int, list[str]]]) -> str:
    """Write the page."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "torchvision"))
    lines = [
        "# Structure from the graph, over every architecture",
        "",
        f"Written by `python benchmarks/structure.py --all`; {versions}; one process, {os.cpu_count()} cores.",
        "",
        "| library | architectures | traced | failed | convolutions | of these unreached in eval mode "
        "| attributes that differ from the module's | build CPU s median / p95 | trace CPU s median / p95 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for library, found in results.items():
        ran = [result for result in found if result.problem is None]
        total = sum(result.n_convolutions for result in found)
        unreached = sum(result.unreached for result in ran)
        differ = sum(len(result.disagreements) for result in found)
        times = " | ".join(spread([getattr(result, what) for result in ran]) for what in ("build", "trace"))
        lines.append(
            f"| {library} | {len(found)} | {len(ran)} | {len(found) - len(ran)} | {total} | {unreached} "
            f"| {differ} | {times} |"
        )
    everyone = [result for found in results.values() for result in found]
    deep, total = sum(r.depth_differs for r in everyone), sum(r.n_convolutions for r in everyone)
    lines += ["", f"Longest path and number of ancestors differ on {deep} of {total} convolutions.", ""]
    for title, attribute in (("weight_kind", "kinds"), ("op", "ops")):
        counted = sum((getattr(result, attribute) for result in everyone), Counter[str]())
        lines += [f"| {title} | convolutions |", "|---|---|"]
        lines += [f"| {word} | {n} |" for word, n in counted.most_common()] + [""]
    lines += ["## Failed", ""]
    lines += [f"- `{r.name}`: {r.problem}" for r in everyone if r.problem] or ["None."]
    lines += ["", "## Convolutions that eval mode never reaches", "", "They have a null depth and `n_calls` 0.", ""]
    lines += [f"- `{r.name}`: {r.unreached}" for r in everyone if r.unreached and not r.problem] or ["None."]
    lines += ["", "## Classifiers stored as convolutions", ""]
    lines += [f"- `{r.name}`: {n}" for r in everyone if (n := r.kinds["dense_as_conv"])] or ["None."]
    lines += ["", "## Attributes that differ from the module's", ""]
    lines += [f"- `{r.name}`: {text}" for r in everyone for text in r.disagreements] or ["None."]
    lines += ["", "## Held against the graph of make_fx", ""]
    lines += ["Depth and number of ancestors of every convolution, by a walk over the graph that make_fx records.", ""]
    lines += ["| library | architecture | convolutions | disagreements |", "|---|---|---|---|"]
    lines += [f"| {library} | {name} | {n} | {'; '.join(found) or 'none'} |" for library, name, n, found in checks]
    return "\n".join(lines) + "\n"


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} / {statistics.quantiles(seconds, n=20)[18]:.2f}"


def checked(library: str, name: str) -> tuple[str, str, int, list[str]]:
    module = build(library, name)
    given = sample(name, module) if library == "torchvision" else None
    structure = trace(module, given)
    try:
        found = depth_disagreements(build(library, name).to("meta"), structure, given)
    except Exception as error:  # noqa: BLE001 - a graph that cannot be recorded is no disagreement, but must be seen
        found = [f"no graph: {type(error).__name__}: {' '.join(str(error).split())[:120]}"]
    found += attribute_disagreements(module, structure)
    return library, name, len(list(structure.convolutions())), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--all", action="store_true", help="every architecture, and write the report")
    parser.add_argument("--checks", action="store_true", help="only the 40 that are held against the graph of make_fx")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    checks = []
    if chosen.all or chosen.checks:
        for library, name in FAMILIES:
            checks.append(checked(library, name))
            sys.stderr.write(json.dumps(checks[-1]) + "\n")
    if chosen.all:
        results: dict[str, list[Result]] = {}
        for library, name in everything():
            result = measure(library, name)
            results.setdefault(library, []).append(result)
            if result.problem or result.disagreements:
                sys.stderr.write(f"{name}: {result.problem} {result.disagreements[:2]}\n")
        REPORT.write_text(report(results, checks), encoding="utf-8")


if __name__ == "__main__":
    main()
