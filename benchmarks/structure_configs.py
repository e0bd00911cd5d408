"""Measure how many default configs of transformers and classes of diffusers get a depth for their convolutions.

python benchmarks/structure_configs.py --results FILE        all of them; writes structure_configs.md beside this file
python benchmarks/structure_configs.py --results FILE NAME   only these, such as transformers:bark, without a report

What FILE already has is not measured again. Each network is measured in a process of its own, which is ended after
60 seconds or when it has more than 3 GB in memory.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import transformers
from structure_network import Result, everything, measure, one_line

REPORT = Path(__file__).with_suffix(".md")
LIBRARIES = ("transformers", "diffusers")
SECONDS = 60
MEMORY = 3 << 30
# Why networks have no depth, checked in the code of the library. First those whose forward accepts no input with the
# default config.
UNFIT = {
    "diffusers:HunyuanVideoFramepackTransformer3DModel": "it lacks the embedder that its forward calls",
    "diffusers:UNet1DModel": "its numbers of channels do not fit each other",
    "transformers:edgetam": "it names a backbone with other numbers of channels",
    "transformers:edgetam_vision_model": "it names a backbone with other numbers of channels",
    "transformers:higgs_audio_v2_tokenizer": "its two encoders make different numbers of frames of one wave",
    "transformers:minicpm_ocr": "without a token for images its forward leaves them aside",
    "transformers:minicpmv4_6": "without a token for images its forward leaves them aside",
    "transformers:minicpmv4_7": "without a token for images its forward leaves them aside",
    "transformers:pp_doclayout_v2": "it lacks thresholds that its forward compares with",
    "transformers:pp_ocrv6_small_det": "backbone and neck differ in channels",
    "transformers:qwen3_omni_moe_thinker": "rotary positions do not fit the odd width of its heads",
    "transformers:uvdoc": "backbone and head differ in channels",
    "transformers:vitmatte": "the backbone lacks the channel of the trimap",
}
REMARKS = {
    "diffusers:ControlNetXSAdapter": "it has no forward of its own",
    "diffusers:WanAnimate2Transformer3DModel": "its forward takes an object of the library, a cache",
    "transformers:glm_image": "it looks for tokens among those that it computed from the image",
    "transformers:glm_image_vqmodel": "it has no forward of its own",
    "transformers:nemotron_h_omni": "it selects features of patches by numbers",
    "transformers:pe_audio_video": "it aligns video and sound by numbers, and takes too long on the CPU",
    "transformers:qwen2_5_omni": "it has no forward of its own; its parts take turns in generation",
    "transformers:sam3_video": "its forward takes a session, and tracks what it finds by the numbers of masks",
}


def measured(name: str) -> dict[str, Any]:
    """Measure one network in a forked process, which has the imported libraries and no memory of earlier networks."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_measured, args=(name, sender))
    until = time.monotonic() + SECONDS
    process.start()
    sender.close()
    problem, peak = "", 0
    while not receiver.poll(0.05) and not problem:
        peak = max(peak, memory(process.pid))
        if time.monotonic() > until:
            problem = f"it takes more than {SECONDS} s"
        elif peak > MEMORY:
            problem = f"it takes more than {MEMORY >> 30} GB of memory"
    if problem:
        process.kill()
    try:
        result: dict[str, Any] = asdict(Result(name, problem=problem)) if problem else receiver.recv()
    except EOFError:
        result = asdict(Result(name, problem="its process ended without a result"))
    process.join()
    return {**result, "memory": peak, "commit": commit()}


@functools.cache
def commit() -> str:
    """Return the commit of this checkout, with a mark if files differ from it."""
    command = ["git", "-C", str(REPORT.parent), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _send_measured(name: str, sender: Connection) -> None:
    torch.set_num_threads(1)
    # Should the other process be gone; zeros take address space without memory.
    resource.setrlimit(resource.RLIMIT_CPU, (2 * SECONDS, 2 * SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (5 * MEMORY, 5 * MEMORY))
    try:
        result = measure(name)
    except Exception as error:  # noqa: BLE001 - the report names what fails
        result = Result(name, problem=one_line(error))
    sender.send(asdict(result) if result else {"name": name, "n_convolutions": 0})


def memory(process_id: int | None) -> int:
    """Return the bytes that a process has in memory, on Linux; 0 if it has ended."""
    try:
        pages = Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def report(results: list[Result]) -> str:
    """Write the page."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *LIBRARIES))
    lines = [
        "# Structure of default configs of transformers and diffusers",
        "",
        f"Written by `python benchmarks/structure_configs.py --results FILE`; {versions}; one network at a time, "
        f"{os.cpu_count()} cores, at most {SECONDS} s and {MEMORY >> 30} GB for each. Each default config goes the way "
        "of a `config.json` on the Hub. Of transformers the base model of each model type is built, of diffusers each "
        "class; where a class has no default for what it needs, with the settings of a published config.",
        "",
        f"Measured with the code of commit {', '.join(of_commits(results))}.",
        "",
        "| library | networks with convolutions | with depth | share | of those that accept an input "
        "| for every convolution | convolutions | of these with depth "
        "| build s median / p95 | trace s median / p95 | most memory in MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    known = [result for result in results if not result.unavailable]
    for library in LIBRARIES:
        found = [result for result in known if result.name.startswith(library)]
        deep = [result for result in found if result.n_with_depth]
        n_fit = sum(bool(result.n_with_depth) or result.name not in UNFIT for result in found)
        whole = sum(not result.without_depth for result in deep)
        total = sum(result.n_convolutions for result in found)
        with_depth = sum(result.n_with_depth for result in found)
        times = " | ".join(spread([getattr(result, what) for result in deep]) for what in ("build", "trace"))
        lines.append(
            f"| {library} | {len(found)} | {len(deep)} | {len(deep) / len(found):.1%} "
            f"| {len(deep) / n_fit:.1%} | {whole} | {total} | {with_depth} | {times} "
            f"| {max(result.memory for result in found) >> 20} |"
        )
    without = [result for result in known if not result.n_with_depth]
    unfit = [result for result in without if result.name in UNFIT]
    lines += ["", "## Without depth", "", "Their convolutions are listed, with a null depth.", ""]
    lines += [f"- `{r.name}`: {explained(r)}" for r in without if r not in unfit] or ["None."]
    lines += ["", "With these default configs the forward of the network runs on no input, or not on images:", ""]
    lines += [f"- `{r.name}`: {UNFIT[r.name]}" for r in unfit] or ["None."]
    lines += ["", "## Convolutions that the call does not reach", "", "They have a null depth and `n_calls` 0.", ""]
    lines += [f"- `{r.name}`: {len(r.without_depth)}" for r in known if r.n_with_depth and r.without_depth]
    lines += ["", "## Not counted", "", "The library itself builds no network from the default config.", ""]
    lines += [f"- `{r.name}`: {r.unavailable}" for r in results if r.unavailable] or ["None."]
    return "\n".join(lines) + "\n"


def of_commits(results: list[Result]) -> list[str]:
    """Return each commit with how many networks were measured there, the most first."""
    counts = Counter(result.commit or "unknown" for result in results)
    return [f"{name} ({n} networks)" for name, n in counts.most_common()]


def explained(result: Result) -> str:
    remark = REMARKS.get(result.name)
    if remark is None:
        return result.problem or "no convolution is reached"
    return f"{remark} ({result.problem})" if result.problem else remark


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
