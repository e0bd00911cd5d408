"""The benchmarks with ratios, in the order of the path of the data: how each is run, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A script of this folder.

    Attributes:
        name: The name of the script, without `.py`, and of its part if it has several.
        about: What it compares, in a few words.
        quick: Arguments of a run of some minutes, which writes no report.
        full: Arguments of the run whose figures the docs state, which writes the report where there is one.
        needs: Distributions that are no dependency of filtercrawl.
    """

    name: str
    about: str
    quick: tuple[str, ...]
    full: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """The file name of the script."""
        return f"{self.name.split()[0]}.py"


SUITE: Final = (
    Benchmark(
        name="ranges wire",
        about="bytes fetched for a byte of kernels",
        quick=("wire", "--models", "efficientnet_b0", "--formats", "safetensors,onnx"),
        full=("wire",),
    ),
    Benchmark(
        name="ranges speed",
        about="planned ranges against the best of a sweep and a download",
        quick=("speed", "--models", "efficientnet_b0", "--latency", "20", "--runs", "3"),
        full=("speed",),
    ),
    Benchmark(
        name="engines",
        about="two Ray nodes against one, and what the engine adds to a task",
        quick=("6", "40"),
        needs=("ray",),
    ),
    Benchmark(
        name="structure_crawl",
        about="two worker processes against one that build and trace networks",
        quick=("20",),
        needs=("timm",),
    ),
    Benchmark(
        name="crawl_memory",
        about="memory of a large sharded checkpoint against its limit",
        quick=("--gb", "2", "--checkpoints", "500"),
    ),
    Benchmark(
        name="crawl",
        about="crawling local checkpoints against encoding and hashing their weights",
        quick=("2",),
        needs=("numba", "safetensors"),
    ),
    Benchmark(
        name="loading",
        about="reading layers against `datasets`",
        quick=("4",),
        needs=("datasets",),
    ),
    Benchmark(
        name="analysis",
        about="analyses against the notebook of CNN Filter DB, quality against torchconvquality",
        quick=("--networks", "2", "--rounds", "1"),
        needs=("scikit-learn", "torchconvquality", "numba"),
    ),
    Benchmark(
        name="search",
        about="exact search against faiss and the limits of memory and products",
        quick=("4500000",),
        needs=("faiss-cpu", "numba"),
    ),
    Benchmark(
        name="search_dataset",
        about="search of a dataset against reading it",
        quick=("2",),
        needs=("numba",),
    ),
    Benchmark(
        name="wire",
        about="bytes that a version sends against those that are new",
        quick=("20",),
        needs=("hf-xet",),
    ),
    Benchmark(
        name="explorer",
        about="times of the page against their limits",
        quick=("10000",),
        needs=("playwright",),
    ),
    Benchmark(
        name="scale",
        about="time and memory of every stage over a simulated zoo, by its size",
        quick=("50", "200", "--print"),
        full=("1000", "10000"),
    ),
)
