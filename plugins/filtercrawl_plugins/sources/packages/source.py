"""The source `packages`: weights that installed Python distributions ship."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from packaging.utils import canonicalize_name

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile, Skipped
from filtercrawl.api.errors import UsageError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import file_version
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.metadata.licenses import license_from_metadata
from filtercrawl_plugins.sources.local.walk import os_error_reason
from filtercrawl_plugins.sources.packages.distributions import Distribution, RecordedFile, installed_distributions

# Source code, type stubs, libraries, pages and pictures: 96 of 100 files beside torch. Opening them all in
# search of weights takes seven times as long.
NEVER_WEIGHTS = frozenset(
    {
        *(".py", ".pyc", ".pyi", ".pyx", ".pxd", ".pxi", ".ipynb", ".typed", ".jinja", ".tpl"),
        *(".so", ".dylib", ".dll", ".pyd", ".a", ".lib", ".exe", ".cmake"),
        *(".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".f", ".f90"),
        *(".md", ".rst", ".txt", ".html", ".js", ".mjs", ".css", ".map", ".po", ".mo"),
        *(".svg", ".png", ".jpg", ".jpeg", ".gif", ".ico", ".woff", ".woff2", ".ttf"),
    }
)
# What a library tests itself with: random weights and broken files, trained by nobody.
TESTS = frozenset({"test", "tests"})


class PackagesSource:
    """Offers the files of installed distributions, one checkpoint each; readers choose among them.

    `packages` means every distribution, `packages:NAME` one, `packages:NAME*` those whose normalised name
    matches. A checkpoint is named `distribution/path`, the path as in RECORD. Its sha256 is that of RECORD,
    and the core holds the file against it; the licence is the one METADATA states. Editable installs and
    distributions without a RECORD offer nothing, nor do folders named `test` or `tests`.
    """

    name = "packages"

    def __init__(self, path: Sequence[str] | None = None) -> None:
        """Look for distributions in the folders of `path`, by default those of `sys.path`."""
        self._path = path

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:  # noqa: ARG002 - no network here
        """Yield the files of the distributions that match, sorted; raises UsageError where none does."""
        pattern = canonicalize_name((query.pattern or "").strip() or "*")
        chosen = [found for found in installed_distributions(self._path) if fnmatchcase(found.name, pattern)]
        if not chosen and pattern != "*":
            raise UsageError(f"packages: no distribution {pattern!r} is installed here; install it and run again")
        for distribution in chosen:
            yield from offers(distribution)


def offers(distribution: Distribution) -> Iterator[Offer]:
    """Yield the files of one distribution that could hold weights, sorted by path."""
    meta = distribution_metadata(distribution)
    for file in sorted(distribution.files(), key=lambda file: file.path):
        if could_hold_weights(file.path):
            yield from offer(distribution, file, meta)


def offer(distribution: Distribution, recorded: RecordedFile, meta: CheckpointMetadata) -> Iterator[Offer]:
    name = f"{distribution.name}/{recorded.path}"
    path = distribution.folder / recorded.path
    try:
        status = path.stat()
    except FileNotFoundError:  # taken out since: gone, which is not the same as skipped
        return
    except OSError as error:
        yield Skipped(name=name, reason=f"cannot be opened: {os_error_reason(error)}")
        return
    if not path.is_file():
        return
    if recorded.size is not None and recorded.size != status.st_size:
        sizes = f"has {status.st_size} bytes, RECORD says {recorded.size}"
        yield Skipped(name=name, reason=f"changed since it was installed: {sizes}")
        return
    file = RemoteFile(
        url=path.as_uri(),
        size=status.st_size,
        sha256=recorded.sha256,
        etag=file_version(status),
        path=recorded.path,
    )
    yield Checkpoint(name=name, files=(file,), meta=meta)


def could_hold_weights(path: str) -> bool:
    """Tell whether a file of a distribution is worth a look, by its name alone."""
    pure = PurePosixPath(path)
    if pure.parts[0].endswith((".dist-info", ".data")) or pure.suffix.lower() in NEVER_WEIGHTS:
        return False
    if not TESTS.isdisjoint(pure.parts[:-1]):
        return False
    # Beside the packages, and only there, `.pth` is a list of folders for Python's import system.
    return not (pure.suffix == ".pth" and len(pure.parts) == 1)


def distribution_metadata(distribution: Distribution) -> CheckpointMetadata:
    license_, evidence = license_from_metadata(distribution.metadata)
    return CheckpointMetadata(
        license=license_,
        license_evidence=evidence,
        extra={"distribution": distribution.name, "version": distribution.version},
    )


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield PackagesSource()
