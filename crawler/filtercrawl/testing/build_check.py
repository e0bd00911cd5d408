"""Check that `build` needs neither network nor weights, in a new process with a pickled record.

`python -m filtercrawl.testing.build_check MODULE SOURCE` reads the record on stdin and prints what is wrong.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import UnsupportedError, describe_error
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.source import SupportsBuild
from filtercrawl.testing.finding import Violation
from filtercrawl.testing.harness import PluginHarness
from filtercrawl.testing.network_guard import network_guard

_TRIED = 2
_SECONDS = 300
# What on_meta leaves real: constructors compute with it.
_SMALL = 4096


def build(harness: PluginHarness, module: str) -> Iterator[Violation]:
    """The networks of the first checkpoints can be built."""
    if not isinstance(harness.source, SupportsBuild):
        return
    offers = [offer for offer in harness.listing.offers if isinstance(offer, Checkpoint)]
    for offer in offers[:_TRIED]:
        try:
            record = pickle.dumps(offer)
        except Exception as error:  # noqa: BLE001 - objects of a plugin may raise anything
            yield (
                f"{offer.name}: its record cannot be pickled: {describe_error(error)}",
                "put plain JSON into `meta.extra`, nothing else",
            )
            return
        done = subprocess.run(  # noqa: S603 - this very program
            [sys.executable, "-m", "filtercrawl.testing.build_check", module, harness.source.name],
            input=record, capture_output=True, timeout=_SECONDS, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        said = done.stdout.decode(errors="replace").strip()
        if done.returncode or said:
            why = said or done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            yield (
                f"{offer.name}: {why}",
                "build by `filtercrawl.extraction.architecture.on_meta` from `checkpoint.meta` alone",
            )
            return


def build_violations(module: str, source: str) -> str:
    """Build the network of the record on stdin, and return what is wrong."""
    import torch

    checkpoint = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - our own process wrote it
    with network_guard(loopback_only=True, transport=False) as outside:
        plugins = Plugins(()).with_plugin(module)
        builder = plugins.sources[source]
        if not isinstance(builder, SupportsBuild):
            return f"the source {source} has no `build`"
        try:
            network: object = builder.build(checkpoint)
        except UnsupportedError:
            return ""  # which says so, as it may
        except Exception as error:  # noqa: BLE001 - a plugin's `build` may raise anything
            return (
                f"`build` connects to {outside[0]}"
                if outside
                else f"`build` in a fresh process raises {describe_error(error)}"
            )
    if outside:
        return f"`build` connects to {outside[0]}"
    if not isinstance(network, torch.nn.Module):
        return f"`build` returns {type(network).__name__}, which is no torch.nn.Module"
    state = network.state_dict().items()
    real = [name for name, tensor in state if tensor.device.type != "meta" and tensor.numel() >= _SMALL]
    return f"`build` makes weights, {real[0]} for one, and not on the meta device" if real else ""


if __name__ == "__main__":
    found = build_violations(*sys.argv[1:3])
    sys.stdout.write(found)
