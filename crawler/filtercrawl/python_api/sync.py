"""The Python function behind `filtercrawl.sync`."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from filtercrawl.api.cancellation import CancellationToken, cancel_on_interrupt
from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.api.progress import Progress
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.config import Engine, FailOn, Restricted, Retry, resolve
from filtercrawl.display import open_progress

if TYPE_CHECKING:
    from filtercrawl.pipeline.report import SyncReport


def sync(
    *selectors: str,
    dataset: str | PathLike[str] | None = None,
    limit: int | None = None,
    kernel_size: KernelPolicy | None = None,
    license: Sequence[str] | None = None,  # noqa: A002 - the name of the setting
    device: str | None = None,
    jobs: int | None = None,
    engine: Engine | None = None,
    ray_address: str | None = None,
    stall_timeout: float | str | None = None,
    cpu_limit: float | str | None = None,
    reading_limit: float | str | None = None,
    memory_limit: int | str | None = None,
    max_bytes: int | str | None = None,
    max_disk: int | str | None = None,
    cache: str | PathLike[str] | None = None,
    cache_size: int | str | None = None,
    max_requests: int | None = None,
    local_redirects: bool | None = None,
    time_limit: float | str | None = None,
    metrics: str | PathLike[str] | None = None,
    prove: bool | None = None,
    refuse_code: bool | None = None,
    prune: bool | None = None,
    restricted: Restricted | None = None,
    retry: Retry | None = None,
    dry_run: bool | None = None,
    rebuild: bool | None = None,
    fail_on: FailOn | None = None,
    opt_out: Sequence[str] | None = None,
    opt_out_from: Sequence[str] | None = None,
    plugins: Plugins | None = None,
    progress: bool | Progress | None = None,
    cancellation: CancellationToken | None = None,
) -> SyncReport:
    """Bring a dataset up to date: read what is new or changed of the sources, and write its kernels.

    The function does what `filtercrawl sync` does. Each setting is the keyword given here, or else the environment
    variable `FILTERCRAWL_*`, or else `filtercrawl.toml` in the current folder, or else its default.

    A checkpoint or a source that fails ends nothing: it is in the report. The run may be stopped at any moment and
    repeated; what was committed stays. A keyboard interrupt ends it after the checkpoints in progress and the tables
    are written, and raises KeyboardInterrupt then; a second one ends it at once.

    Args:
        *selectors: `SOURCE` or `SOURCE:PATTERN` each, for example `timm:resnet*` or `local:models`. Without any, every
            installed source that needs no pattern is asked.
        dataset: The dataset folder, by default `filtercrawl-dataset`, or a URL such as `s3://bucket/name`; made if
            there is none.
        limit: Read at most so many checkpoints.
        kernel_size: Which kernels to keep: `3x3`, `spatial` (more than one tap; the default) or `all`.
        license: Only checkpoints under one of these SPDX licenses.
        device: Where kernels are normalized: `auto` (the default), `cpu`, `cuda`, `cuda:1` or `mps`.
        jobs: How many checkpoints to work on at a time, by default 2.
        engine: What reads the checkpoints: `local`, worker processes of this machine (the default), `threads` of this
            process, or `ray`, the machines of a Ray cluster.
        ray_address: The Ray cluster to connect to; by default that of `RAY_ADDRESS`, or one that is started on this
            machine.
        stall_timeout: Try a checkpoint once more whose reader makes no progress for so many seconds, or a time such as
            `15m` (the default).
        cpu_limit: Try a checkpoint once more whose reader takes so many seconds of CPU time, by default `1h`.
        reading_limit: Fail a checkpoint for which reading the structure (headers, names, graphs), or decoding the
            weights, takes so many seconds of CPU time, by default `10s`, and 0.25 s more for each megabyte.
        memory_limit: Try a checkpoint once more, alone, whose reader takes so many bytes of memory; a number, or a size
            such as `4G`. By default 3/4 of the machine's memory, divided by `jobs`.
        max_bytes: Stop after reading so many bytes; a number, or a size such as `2G`.
        max_disk: Stop when the layers of the dataset take so many bytes; a number, or a size such as `20G`.
        cache: The folder for fetched bytes, by default `~/.cache/filtercrawl`.
        cache_size: How many fetched bytes to keep between runs, by default `16G`.
        max_requests: Send at most so many requests.
        local_redirects: Follow redirects of public servers to addresses of this machine, private networks and cloud
            metadata.
        time_limit: Stop cleanly so many seconds after the start, or a time such as `5h`.
        metrics: Write the counts of the run into this file, for the textfile collector of Prometheus.
        prove: Fetch files in full where a SHA-256 is stated, and check them against it.
        refuse_code: Fail checkpoints whose files name code that loading them elsewhere would run.
        prune: Remove checkpoints that the sources no longer offer.
        restricted: What to do with checkpoints whose repository became gated, private or disabled since they were read:
            `keep` (the default) or `remove`.
        retry: Which failed checkpoints to try again: `all`, `due` (those whose waiting time is over; the default) or
            `none`.
        dry_run: Report what there is to do, and do nothing.
        rebuild: Rebuild the catalog from the published tables first.
        fail_on: Which failures `SyncReport.exit_code` counts: `new` (the default), `any` or `none`.
        opt_out: Checkpoints that are never fetched nor kept: `SOURCE:PATTERN` or URL patterns.
        opt_out_from: Files or URLs with more such patterns, one per line.
        plugins: Sources, readers and measures; by default those of all installed plugins.
        progress: True shows a progress bar, False shows nothing, None shows one in interactive sessions. Or an object
            that receives the progress.
        cancellation: Cancel it, for example from another thread, to end the run like a keyboard interrupt; the report
            is returned then, with what is left in `n_left`.

    Returns:
        What was read and written, what failed and why. A notebook shows it as a table; `to_dict` is the output of
        `--json`.

    Raises:
        UsageError: A selector or a setting is wrong, or the folder holds files but no dataset; the message names it.
        ConflictError: Another run works on the dataset.
        DatasetError: The folder cannot be read or written.
        KeyboardInterrupt: The user interrupted the run; it ended cleanly.

    Example:
        >>> report = filtercrawl.sync("timm:resnet*", "local:models", dataset="kernels", kernel_size="3x3")
        >>> report.kernels, report.failures
    """
    for selector in selectors:
        if not isinstance(selector, str):
            raise UsageError(
                f"selectors: {selector!r} is not text; pass each selector by itself, for example local:models"
            )
    settings = resolve(
        {
            "dataset": dataset,
            "limit": limit,
            "kernel_size": kernel_size,
            "license": license,
            "device": device,
            "jobs": jobs,
            "engine": engine,
            "ray_address": ray_address,
            "stall_timeout": stall_timeout,
            "cpu_limit": cpu_limit,
            "reading_limit": reading_limit,
            "memory_limit": memory_limit,
            "max_bytes": max_bytes,
            "max_disk": max_disk,
            "cache": cache,
            "cache_size": cache_size,
            "max_requests": max_requests,
            "local_redirects": local_redirects,
            "time_limit": time_limit,
            "metrics": metrics,
            "prove": prove,
            "refuse_code": refuse_code,
            "prune": prune,
            "restricted": restricted,
            "retry": retry,
            "dry_run": dry_run,
            "rebuild": rebuild,
            "fail_on": fail_on,
            "opt_out": opt_out,
            "opt_out_from": opt_out_from,
        },
        keywords=True,
    )
    # torch takes seconds to import: not before the settings are known to be right.
    from filtercrawl.pipeline.discovery.selector import default_selectors
    from filtercrawl.pipeline.sync import SyncContext
    from filtercrawl.pipeline.sync import sync as run_sync

    plugins = plugins or load_plugins()
    cancellation = cancellation or CancellationToken()
    with open_progress(progress, "reading") as shown, cancel_on_interrupt(cancellation):
        return run_sync(
            selectors or default_selectors(plugins),
            SyncContext(settings=settings, plugins=plugins, progress=shown, cancellation=cancellation),
        )
