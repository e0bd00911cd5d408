"""filtercrawl commands in processes forked from one that has its imports done, ended or limited as a job says."""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Self

from support.crashes.dying_process import DyingProcess
from support.crashes.small_disk import fill, on_disk
from support.paths import child_environment

CLOCK = 1_767_000_000
# What commands import only when they run: the server does it once.
_IMPORTS = (
    *("datasets", "duckdb", "httpx2", "jinja2", "matplotlib.figure", "pandas", "PIL.Image", "pyarrow.compute"),
    *("pyarrow.dataset", "rich.console", "rich.progress", "scipy.stats", "sklearn", "torch", "torchvision", "typer"),
    *("filtercrawl.cli", "filtercrawl.pipeline.sync", "filtercrawl_analysis.run.execute", "filtercrawl_publish.api"),
    *("filtercrawl_analysis.report.run_analyses", "filtercrawl_publish.releasing.pipeline", "huggingface_hub.hf_api"),
    *("filtercrawl.dataset.tables.export", "filtercrawl.pipeline.committing.commit", "filtercrawl.transport.http_file"),
    *("filtercrawl.pipeline.engines.threads", "filtercrawl.pipeline.crawl_stages", "filtercrawl.transport.prefetcher"),
    *("filtercrawl_plugins.sources.hub.source", "filtercrawl_plugins.sources.local.source", "pydantic.type_adapter"),
    *("filtercrawl_publish.comparison.statistics", "filtercrawl_publish.repository.folder", "typer._adapters"),
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command, and what happens to it.

    Attributes:
        arguments: Of the command line.
        folder: Where it runs; it may write nowhere else but in the folder for temporary files.
        event: The write at which the process gets SIGKILL.
        signals: Pairs of seconds from the start and a signal, which all processes of the command get.
        clock: Seconds since 1970 that the command takes for now.
        memory: Bytes of address space that it may take beyond what it has when it starts.
        disk: Kilobytes that are free where its folder `dataset` is.
        fills: The path of a file: once it is there, nothing is free any more.
        read_only: Whether that folder cannot be written.
        environment: Variables that it gets besides those of the server.
        module: Of the function `main` that runs, with `arguments` as its command line.
    """

    arguments: Sequence[str]
    folder: str
    event: int | None = None
    signals: Sequence[tuple[float, int]] = ()
    clock: int = CLOCK
    memory: int | None = None
    disk: int | None = None
    fills: str | None = None
    read_only: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    module: str = "filtercrawl.cli"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended.

    Attributes:
        status: Exit code, or a signal as a negative number.
        output: What it printed.
        events: Writes that it came to; None where it was killed.
        seconds: How long it took.
    """

    status: int
    output: str
    events: int | None
    seconds: float = field(compare=False)

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Commands:
    """A server that runs jobs, one after the other or some at once."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def run(self, job: Job) -> Ended:
        (ended,) = self.run_at_once(job)
        return ended

    def run_at_once(self, *jobs: Job) -> list[Ended]:
        """Run jobs in folders of their own beside each other; returns when all have ended."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps([asdict(job) for job in jobs]) + "\n")
        self._server.stdin.flush()
        return [
            Ended(
                status=status,
                output=Path(job.folder + ".output").read_text("utf-8", "replace"),
                events=events,
                seconds=seconds,
            )
            for job, (status, events, seconds) in zip(jobs, json.loads(self._server.stdout.readline()), strict=True)
        ]


@contextmanager
def commands(python: str) -> Iterator[Commands]:
    """Start the server.

    Args:
        python: What starts it, and what the commands start processes of their own with.
    """
    environment = child_environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NO_COLOR": "1"}
    with subprocess.Popen(
        [python, "-m", "support.crashes.commands", sys.executable],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        try:
            yield Commands(server)
        finally:
            assert server.stdin is not None
            server.stdin.close()


@dataclass(frozen=True)
class _Child:
    pid: int
    started: float

    @classmethod
    def fork(cls, job: Job, python: str) -> Self:
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _be(job, python)
        return cls(pid, started)

    def wait(self, signals: Sequence[tuple[float, int]]) -> int:
        """Send the signals in their time; return how the process ended."""
        watched = os.pidfd_open(self.pid)
        for seconds, number in signals:
            ended, _, _ = select.select([watched], [], [], max(0.0, self.started + seconds - time.monotonic()))
            if ended:
                break
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        os.close(watched)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _be(job: Job, python: str) -> NoReturn:
    """Be the command."""
    os.setsid()
    os.chdir(job.folder)
    temporary = Path(job.folder + ".tmp")
    output = os.open(job.folder + ".output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ |= {"SOURCE_DATE_EPOCH": str(job.clock), "TMPDIR": str(temporary), **job.environment}
    tempfile.tempdir = None  # that of the server
    if job.disk is not None or job.read_only:  # what it starts must see the disk that it sees
        sys.executable = python
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if job.memory is not None:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + job.memory,) * 2)
    if job.disk is not None or job.read_only:
        os._exit(on_disk(Path(job.folder, "dataset"), job.disk, lambda: _run(job)))
    _run(job)


def _run(job: Job) -> NoReturn:
    """Run the command, and end as Python does, but without taking the imported libraries apart."""
    wants_full = (lambda: False) if job.fills is None else Path(job.fills).exists
    process = DyingProcess(job.event, wants_full, partial(fill, Path(job.folder, "dataset")))
    process.watch()
    code: object = 0
    try:
        sys.argv = ["filtercrawl", *job.arguments]
        import_module(job.module).main()
    except SystemExit as stop:
        code = stop.code
    except BaseException:  # noqa: BLE001 - shown as Python shows it
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    with suppress(Exception):
        Path(job.folder + ".events").write_text(str(process.seen))
    os._exit(code if isinstance(code, int) else int(code is not None))


def serve(python: str) -> None:
    """Run each job that comes on stdin; answer how it ended.

    Args:
        python: The interpreter, of which nobody is a fork.
    """
    for name in _IMPORTS:
        with suppress(ImportError):
            import_module(name)
    from filtercrawl.api.plugin_manager import load_plugins
    from filtercrawl.dataset.files import layers_writer
    from filtercrawl.dataset.tables import staged_layers

    plugins = load_plugins()
    list(plugins.readers)
    list(plugins.commands)
    staged_layers.ROW_NUMBERS = 100  # so that small layers come in parts
    layers_writer.ROW_GROUP_BYTES = 1024
    gc.freeze()  # what the garbage collector does not visit stays shared between the processes
    for line in sys.stdin:
        jobs = [Job(**words) for words in json.loads(line)]
        for job in jobs:
            Path(job.folder + ".events").unlink(missing_ok=True)
            Path(job.folder + ".tmp").mkdir(exist_ok=True)
        children = [_Child.fork(job, python) for job in jobs]
        print(json.dumps([_wait(job, child) for job, child in zip(jobs, children, strict=True)]), flush=True)  # noqa: T201 - the answer


def _wait(job: Job, child: _Child) -> tuple[int, int | None, float]:
    """Return how a job ended, the number of its writes and its seconds."""
    status = child.wait(job.signals)
    events = Path(job.folder + ".events")
    seen = int(events.read_text()) if events.is_file() else None
    return status, seen, time.monotonic() - child.started


if __name__ == "__main__":
    serve(sys.argv[1])
