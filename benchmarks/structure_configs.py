"""Measure how many default configs of transformers and classes of diffusers get a depth for their convolutions.

python benchmarks/structure_configs.py --results FILE        all of them; writes structure_configs.md beside this file
python benchmarks/structure_configs.py --results FILE NAME   only these, such as transformers:bark, without a report

What FILE already has is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import nn
from torch.nn.modules.conv import _ConvNd
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, RemoteFile
from filtercrawl.extraction.architecture import trace
from filtercrawl_plugins.sources.hub.model_config import parse_config
from filtercrawl_plugins.sources.hub.source import HubSource

REPORT = Path(__file__).with_suffix(".md")
LIBRARIES = ("transformers", "diffusers")
# Seconds of one network; the tracer's own limit does not interrupt Python code that calls no operator.
SECONDS = 60


@dataclass
class Result:
    """What came of one config; seconds of building and tracing."""

    name: str
    class_name: str | None = None
    unavailable: str | None = None
    problem: str | None = None
    build: float = 0.0
    trace: float = 0.0
    n_convolutions: int = 0
    n_with_depth: int = 0
    without_depth: list[str] = field(default_factory=list)


def everything() -> Iterator[str]:
    yield from (f"diffusers:{name}" for name in sorted(dir(diffusers)) if _is_model(getattr(diffusers, name, None)))
    yield from (f"transformers:{name}" for name in CONFIG_MAPPING if class_of(name) is not None)


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, diffusers.ModelMixin) and value is not diffusers.ModelMixin


def class_of(model_type: str) -> str | None:
    """Return the base model of a model type; where there is none, the first class of any task."""
    tables = sorted(name for name in dir(modeling_auto) if name.endswith("_MAPPING_NAMES") and "CONFIG" not in name)
    for table in ["MODEL_MAPPING_NAMES", *tables]:
        found = getattr(modeling_auto, table).get(model_type)
        if found:
            name = found if isinstance(found, str) else found[0]
            return name if hasattr(transformers, name) else None
    return None


def config_of(name: str) -> dict[str, Any]:
    """Return the config.json that a library writes for a default config."""
    library, _, key = name.partition(":")
    if library == "diffusers":
        return {"_class_name": key}
    config = CONFIG_MAPPING[key]()
    config.architectures = [class_of(key)]
    stated: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return stated


def built_by_library(name: str, config: dict[str, Any]) -> nn.Module:
    """Build the network as its library does; raises whatever the library raises."""
    library, _, key = name.partition(":")
    with torch.device("meta"):
        if library == "diffusers":
            module: nn.Module = getattr(diffusers, key).from_config({})
        else:
            module = getattr(transformers, config["architectures"][0])(CONFIG_MAPPING[key]())
    return module


def measure(name: str) -> Result | None:
    """Build and trace one network; None if it has no convolutions."""
    result = Result(name)
    try:
        config = config_of(name)
    except Exception as error:  # noqa: BLE001 - the report names what fails
        result.unavailable = one_line(error)
        return result
    result.class_name = config.get("_class_name") or config["architectures"][0]
    file = RemoteFile(url="https://host/model.safetensors", path="model.safetensors")
    extra = {"config": parse_config(json.dumps(config).encode())}
    checkpoint = Checkpoint(name=name, files=(file,), meta=CheckpointMetadata(extra=extra))
    source, start = HubSource(), time.perf_counter()
    try:
        module = source.build(checkpoint)
    except Exception as error:  # noqa: BLE001 - as above
        try:
            result.n_convolutions = n_convolutions(built_by_library(name, config))
        except Exception as own:  # noqa: BLE001 - as above
            result.unavailable = one_line(own)
            return result
        result.problem = one_line(error)
        return result if result.n_convolutions else None
    result.n_convolutions = n_convolutions(module)
    if not result.n_convolutions:
        return None
    built = time.perf_counter()
    structure = trace(module, source.sample(checkpoint, module), seconds=SECONDS)
    result.build, result.trace = built - start, time.perf_counter() - built
    result.problem = structure.problem
    depths = {key: facts.depth for key, facts, _ in structure.convolutions()}
    result.n_with_depth = sum(depth is not None for depth in depths.values())
    result.without_depth = [key for key, depth in depths.items() if depth is None]
    return result


def n_convolutions(module: nn.Module) -> int:
    return sum(isinstance(part, _ConvNd) for part in module.modules())


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def interrupt(*_: object) -> None:
    raise TimeoutError("it takes too long")


def measured(name: str) -> dict[str, Any]:
    signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(2 * SECONDS)
    try:
        result = measure(name)
    except Exception as error:  # noqa: BLE001 - as above
        result = Result(name, problem=one_line(error))
    finally:
        signal.alarm(0)
    return asdict(result) if result else {"name": name, "n_convolutions": 0}


def report(results: list[Result]) -> str:
    """Write the page."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *LIBRARIES))
    lines = [
        "# Structure of default configs of transformers and diffusers",
        "",
        f"Written by `python benchmarks/structure_configs.py --results FILE`; {versions}; one process, "
        f"{os.cpu_count()} cores. Each default config goes the way of a `config.json` on the Hub. Of transformers the "
        "base model of each model type is built, of diffusers each class.",
        "",
        "| library | networks with convolutions | with depth | share | for every convolution | convolutions "
        "| of these with depth | build s median / p95 | trace s median / p95 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    known = [result for result in results if not result.unavailable]
    for library in LIBRARIES:
        found = [result for result in known if result.name.startswith(library)]
        deep = [result for result in found if result.n_with_depth]
        whole = sum(not result.without_depth for result in deep)
        total = sum(result.n_convolutions for result in found)
        with_depth = sum(result.n_with_depth for result in found)
        times = " | ".join(spread([getattr(result, what) for result in deep]) for what in ("build", "trace"))
        lines.append(
            f"| {library} | {len(found)} | {len(deep)} | {len(deep) / len(found):.1%} | {whole} | {total} "
            f"| {with_depth} | {times} |"
        )
    lines += ["", "## Without depth", "", "Their convolutions are listed, with a null depth.", ""]
    lines += [f"- `{r.name}`: {r.problem}" for r in known if not r.n_with_depth] or ["None."]
    lines += ["", "## Convolutions that the call does not reach", "", "They have a null depth and `n_calls` 0.", ""]
    lines += [f"- `{r.name}`: {len(r.without_depth)}" for r in known if r.n_with_depth and r.without_depth]
    lines += ["", "## Not counted", "", "The library itself builds no network from the default config.", ""]
    lines += [f"- `{r.name}`: {r.unavailable}" for r in results if r.unavailable] or ["None."]
    return "\n".join(lines) + "\n"


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} / {statistics.quantiles(seconds, n=20)[18]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--results", type=Path, required=True, help="JSON lines, one a network; continued if it exists")
    parser.add_argument("names", nargs="*", help="LIBRARY:NAME; all without one")
    chosen = parser.parse_args()
    chosen.results.touch()
    known = {line["name"]: line for line in map(json.loads, chosen.results.read_text(encoding="utf-8").splitlines())}
    transformers.logging.set_verbosity_error()
    names = chosen.names or list(everything())
    with chosen.results.open("a", encoding="utf-8") as file:
        for name in names:
            if name not in known:
                known[name] = measured(name)
                file.write(json.dumps(known[name]) + "\n")
                file.flush()
                sys.stderr.write(f"{name}: {known[name].get('problem') or known[name].get('unavailable') or 'ok'}\n")
    if not chosen.names:
        wanted = [known[name] for name in names if known[name]["n_convolutions"] or "problem" in known[name]]
        REPORT.write_text(report([Result(**line) for line in wanted]), encoding="utf-8")


if __name__ == "__main__":
    main()
