"""Measure what a night sends: after 5 % more networks, and after 2 % fewer, with Xet and with LFS.

python benchmarks/wire.py [NETWORKS]    40 by default, 71 MB each

With the default number of networks it writes wire.md beside this file, and prints otherwise.

Weights are normal in the shapes of torchvision's resnet34. The folder is analysed and staged as `release` does it. LFS
sends every large file that changed as a whole; for Xet the Hub's own client uploads it into a folder, whose growth is
what it sent. Text goes with the commit, in base64, either way.
"""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import hf_xet
import torch
from loading import SHAPES
from ratios import Ratio, record
from safetensors.torch import save_file

from filtercrawl_publish.publishing.hub_limits import is_large
from filtercrawl_publish.publishing.staging import clear_pending, stage_version

REPORT = Path(__file__).with_suffix(".md")
NETWORKS = 40
Sent = dict[str, tuple[int, int]]


def put(zoo: Path, number: int, name: str) -> None:
    """Write one network."""
    generator = torch.Generator().manual_seed(number)
    state = {f"l{i}.weight": torch.randn(o, c, 3, 3, generator=generator) for i, (c, o) in enumerate(SHAPES)}
    save_file(state, zoo / f"{name}.safetensors")


def staged(folder: Path, release: str) -> dict[str, str]:
    """Sync and stage a version; return path -> sha256 of what it publishes."""
    dataset = folder / "dataset"
    command = [sys.executable, "-m", "filtercrawl", "sync", f"local:{folder / 'zoo'}", "--prune", "--dataset"]
    for arguments in ([*command, str(dataset)], [*command[:3], "analyze", "--dataset", str(dataset)]):
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = stage_version(dataset, release)
    clear_pending(dataset)
    return {path: hashlib.sha256((dataset / path).read_bytes()).hexdigest() for path in found.files}


def uploaded(hub: Path, path: Path) -> int:
    """Upload a file with the Xet client; return the bytes by which the Hub's folder grew."""

    def stored() -> int:
        return sum(chunks.stat().st_size for chunks in hub.rglob("xorbs/xorbs/default.*") if chunks.suffix != ".tagset")

    before = stored()
    with hf_xet.XetSession().new_upload_commit(endpoint=f"local://{hub}") as commit:
        commit.start_upload_file(str(path))
    return stored() - before


def night(folder: Path, before: dict[str, str], after: dict[str, str]) -> Sent:
    """Send what changed; return bytes with LFS and with Xet, of layers, of the analyses and of each table."""
    lfs: Counter[str] = Counter()
    xet: Counter[str] = Counter()
    for path in (path for path, digest in after.items() if before.get(path) != digest):
        what = next((part for part in ("data/layers", "analysis") if path.startswith(f"{part}/")), path)
        size = (folder / "dataset" / path).stat().st_size
        if is_large(path, size):
            lfs[what] += size
            xet[what] += uploaded(folder / "hub", folder / "dataset" / path)
        else:
            lfs[what] += 4 * math.ceil(size / 3)
            xet[what] += 4 * math.ceil(size / 3)
    return {what: (size, xet[what]) for what, size in lfs.most_common()}


def told(title: str, sent: Sent, everything: int) -> str:
    """Write one night as Markdown."""
    new = sent.get("data/layers", (0, 0))[0]
    lines = [f"## {title}", "", "| file | bytes with LFS | with Xet |", "|---|---|---|"]
    lines += [f"| {what} | {lfs:,} | {xet:,} |" for what, (lfs, xet) in sent.items()]
    sums = [sum(column) for column in zip(*sent.values(), strict=True)]
    of = [f"**{size / new:.3f}** of the new layers" if new else f"**{size / everything:.4f}** of all" for size in sums]
    lines.append("| " + " | ".join(["all", *of]) + " |")
    return "\n".join(lines) + "\n"


def compare(networks: int, more: Sent, fewer: Sent, everything: int) -> None:
    """Record what two nights send, for a byte that is new and for a byte of all."""
    new = more.get("data/layers", (0, 0))[0]
    for way, place in (("LFS", 0), ("Xet", 1)):
        sent = sum(sizes[place] for sizes in more.values())
        what = f"5 % more of {networks} networks with {way}, bytes sent"
        record([Ratio(what=what, peer="the new layers files", value=sent / new)])
        sent = sum(sizes[place] for sizes in fewer.values())
        what = f"2 % fewer of {networks} networks with {way}, bytes sent"
        record([Ratio(what=what, peer="the whole dataset", value=sent / everything)])


def main() -> None:
    networks = int(sys.argv[1]) if len(sys.argv) > 1 else NETWORKS
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        zoo = folder / "zoo"
        for name in ("zoo", "hub"):
            (folder / name).mkdir()
        for number in range(networks):
            put(zoo, number, f"{number:03}")
        first = staged(folder, "v2026.11.01")
        everything = sum((folder / "dataset" / path).stat().st_size for path in first)
        night(folder, {}, first)
        for number in range(max(1, networks // 20)):
            put(zoo, networks + number, f"{20 * number + 7:03}-new")
        second = staged(folder, "v2026.11.02")
        more = night(folder, first, second)
        for number in range(max(1, networks // 50)):
            (zoo / f"{50 * number + 3:03}.safetensors").unlink()
        fewer = night(folder, second, staged(folder, "v2026.11.03"))
    compare(networks, more, fewer, everything)
    used = ", ".join(f"{name} {version(name)}" for name in ("hf-xet", "pyarrow"))
    text = (
        f"# What a night sends\n\nWritten by `python benchmarks/wire.py {networks}`; {used}.\n\n"
        f"{networks} networks of {len(SHAPES)} layers, {everything:,} bytes in all. Not counted: what frames "
        "the files in\nthe request of the commit, and CHANGES.md with changes.json.\n\n"
    )
    text += told("5 % more networks", more, everything) + "\n" + told("2 % fewer networks", fewer, everything)
    print(text)
    if networks == NETWORKS:
        REPORT.write_text(text)


if __name__ == "__main__":
    main()
