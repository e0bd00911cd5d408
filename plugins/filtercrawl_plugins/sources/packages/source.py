"""The source `packages`: weights in installed Python distributions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from packaging.utils import canonicalize_name

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile, Skipped
from filtercrawl.api.errors import UsageError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.local_file import file_version
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.metadata.licenses import license_from_metadata
from filtercrawl_plugins.sources.local.walk import os_error_reason
from filtercrawl_plugins.sources.packages.array_archives import may_hold_kernels
from filtercrawl_plugins.sources.packages.distributions import Distribution, RecordedFile, installed_distributions

# Extensions of code, libraries, documents and images: 96 % of the files besides torch. Opening them all to look for
# weights takes seven times as long.
NON_WEIGHT_EXTENSIONS = frozenset(
    {
        *(".py", ".pyc", ".pyi", ".pyx", ".pxd", ".pxi", ".ipynb", ".typed", ".jinja", ".tpl"),
        *(".so", ".dylib", ".dll", ".pyd", ".a", ".lib", ".exe", ".cmake"),
        *(".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".f", ".f90"),
        *(".md", ".rst", ".txt", ".html", ".js", ".mjs", ".css", ".map", ".po", ".mo"),
        *(".svg", ".png", ".jpg", ".jpeg", ".gif", ".ico", ".woff", ".woff2", ".ttf"),
    }
)
# Folders of test data: random weights and invalid files.
TEST_FOLDERS = frozenset({"test", "tests"})


class PackagesSource:
    """Offers the files of installed distributions, one checkpoint each; readers decide which contain weights.

    `packages` selects every distribution, `packages:NAME` one, `packages:NAME/PATH` one file of it; NAME and PATH may
    contain wildcards. NAME is normalized (PEP 503), PATH is not, and `*` in it also matches `/`.
    A checkpoint is named `distribution/path`, the path as in RECORD. Its sha256 is the one in RECORD and is verified
    when it is read; its license is the one in METADATA. Editable installs, distributions without a RECORD, and folders
    named `test` or `tests` offer nothing. Without a pattern, NumPy archives are offered only if one of their arrays has
    three axes or more, as every kernel has: packages ship tables and pictures in this format.
    """

    name = "packages"
    setting_names = ()

    def __init__(self, path: Sequence[str] | None = None) -> None:
        """Search the folders of `path`, by default those of `sys.path`."""
        self._path = path

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:  # noqa: ARG002 - no network here
        """Yield the files that match, sorted by distribution and path.

        Raises:
            UsageError: No distribution matches, or none of those that match has such a file.
        """
        name, _, path = (query.pattern or "").partition("/")
        name = canonicalize_name(name.strip() or "*")
        selected = [
            distribution for distribution in installed_distributions(self._path) if fnmatchcase(distribution.name, name)
        ]
        if not selected and name != "*":
            raise UsageError(f"packages: no distribution {name!r} is installed here; install it and run again")
        found = False
        for distribution in selected:
            files = weight_files(distribution, path or "*")
            found = found or bool(files)
            for offer in list_offers(distribution, files):
                if isinstance(offer, Checkpoint) and offer.files[0].path == path:
                    yield replace(offer, named=True)
                elif query.pattern is not None or isinstance(offer, Skipped) or may_hold_kernels(offer):
                    yield offer
        if path and not found:
            raise UsageError(
                f"packages: no distribution {name!r} has a file {path!r} that may contain weights; "
                f"`filtercrawl inspect packages:{name}` names some"
            )


def weight_files(distribution: Distribution, pattern: str) -> list[RecordedFile]:
    """Return the files of a distribution that may contain weights and match a pattern, sorted by path.

    Args:
        distribution: The distribution.
        pattern: A path as in RECORD, or one with wildcards.
    """
    files = sorted(
        (file for file in distribution.files() if may_contain_weights(file.path)), key=lambda file: file.path
    )
    exact = [file for file in files if file.path == pattern]  # also where its name contains `*` or `[`
    return exact or [file for file in files if fnmatchcase(file.path, pattern)]


def list_offers(distribution: Distribution, files: Iterable[RecordedFile]) -> Iterator[Offer]:
    """Yield what a distribution offers of these files of its own."""
    meta = distribution_metadata(distribution)
    for file in files:
        yield from make_offer(distribution, file, meta)


def make_offer(distribution: Distribution, recorded: RecordedFile, meta: CheckpointMetadata) -> Iterator[Offer]:
    """Yield the checkpoint of a file, a skip if it cannot be opened or has changed, or nothing if it is gone."""
    name = f"{distribution.name}/{recorded.path}"
    path = distribution.folder / recorded.path
    try:
        status = path.stat()
    except FileNotFoundError:  # deleted since the install: gone, which is not the same as skipped
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


def may_contain_weights(path: str) -> bool:
    """Return whether a file of a distribution may contain weights, by its path alone."""
    pure = PurePosixPath(path)
    if pure.parts[0].endswith((".dist-info", ".data")) or pure.suffix.lower() in NON_WEIGHT_EXTENSIONS:
        return False
    if not TEST_FOLDERS.isdisjoint(pure.parts[:-1]):
        return False
    # At the top level of site-packages, `.pth` files configure Python's import path.
    return not (pure.suffix == ".pth" and len(pure.parts) == 1)


def distribution_metadata(distribution: Distribution) -> CheckpointMetadata:
    """Return what METADATA states about all checkpoints of a distribution."""
    license_, evidence = license_from_metadata(distribution.metadata)
    return CheckpointMetadata(
        license=license_,
        license_evidence=evidence,
        extra={"distribution": distribution.name, "version": distribution.version},
    )


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    """Yield the source of this plugin."""
    yield PackagesSource()
