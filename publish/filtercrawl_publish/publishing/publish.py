"""The command `publish`: one atomic, verified, tagged version of a dataset, on the Hub or in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from filtercrawl.api.errors import DatasetError, NotFoundError, UsageError
from filtercrawl.api.formatting import format_count, format_size
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.diff.changelog import update_pending_changelog
from filtercrawl_publish.publishing.base_version import BaseVersion, record_base
from filtercrawl_publish.publishing.card_merge import merge_user_edits
from filtercrawl_publish.publishing.change_filter import has_reader_visible_change
from filtercrawl_publish.publishing.hub_limits import check_hub_limits
from filtercrawl_publish.publishing.load_check import verify_loads
from filtercrawl_publish.publishing.preupload import LayerUploader
from filtercrawl_publish.publishing.staging import (
    StagedVersion,
    clear_pending,
    has_catalog,
    list_files,
    pending_version,
    stage_version,
)
from filtercrawl_publish.publishing.upload import FileChanges, compare_files, upload_files
from filtercrawl_publish.repository import version_names
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.folder import FolderRepository
from filtercrawl_publish.repository.signature import sign_manifest

__all__ = ["PublishOptions", "PublishResult", "complete_interrupted_publish", "publish"]

# By which a commit without a tag is known as one of ours, and what its tag was to be.
_TITLE = "Release "


@dataclass(frozen=True, kw_only=True)
class PublishResult:
    """What came of it. what: published, finished (an earlier run's commit got its tag), nothing (new), planned.

    version, commit: of the version that the place now has last. files, bytes: sent, or to be sent; warnings: of what
    works and is unwise.
    """

    what: str
    repo: str
    version: str | None
    commit: str | None
    files: int = 0
    removed: int = 0
    bytes: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PublishOptions:
    """How to publish. version: a name given, else that of the day. log: is told what happens, a line each.

    sign_key: a file with the private key by which the manifest is signed.
    max_disk: bytes; where the files of layers take that much, those that the place has are deleted here.
    """

    version: str | None = None
    when: datetime
    dry_run: bool = False
    sign_key: Path | None = None
    max_disk: int | None = None
    log: Callable[[str], None] = lambda _: None


def publish(folder: Path, repository: Repository, options: PublishOptions) -> PublishResult:
    """Publish the dataset in `folder` as one version.

    The commit is proven from outside before it is tagged. Killed at any point, or refused by the network, it leaves
    the place as it was, or with a commit that the next call finishes. Raises BusyError where somebody else publishes
    at the same time, RefusedError above the Hub's limits, DatasetError and NetworkError.
    """
    with locked(folder):
        found, staged = _publish(folder, repository, options)
        if options.dry_run or found.commit is None or found.version is None or not has_catalog(folder):
            return found
        if options.max_disk is not None or staged.absent:
            record_base(
                folder, BaseVersion(repo=repository.id, version=found.version, commit=found.commit, root=staged.root)
            )
            ahead = _ahead(folder, repository, options)
            if ahead.is_full():
                ahead.drop_released()
    return found


def _publish(folder: Path, repository: Repository, options: PublishOptions) -> tuple[PublishResult, StagedVersion]:
    head, tags, done = complete_interrupted_publish(repository, options)
    if not options.dry_run and merge_user_edits(folder, repository, head, tags):
        options.log(f"the card was edited in {repository.id}: its hand-written parts are taken over")
    name = _name(folder, tags, options)
    staged = _staged(folder, name, options)
    changes = compare_files(staged, repository.files(head) if head else {})
    if head is not None and not (changes and has_reader_visible_change(changes, staged, repository, head)):
        if not options.dry_run:
            clear_pending(folder)
        last = {commit: tag for tag, commit in tags.items()}.get(head)
        return PublishResult(
            what="finished" if done else "nothing", repo=repository.id, version=last, commit=head
        ), staged
    if name in tags:
        raise UsageError(f"{repository.id}: has a version {name} already, and a tag never moves; choose another name")
    if not options.dry_run:
        staged, changes = _write_changelog(staged, repository, head, name, options)
    warnings = tuple(check_hub_limits(staged, changes))
    planned = PublishResult(
        what="planned",
        repo=repository.id,
        version=name,
        commit=None,
        files=len(changes.add),
        removed=len(changes.delete),
        bytes=changes.bytes,
        warnings=warnings,
    )
    if options.dry_run:
        return planned, staged
    commit = _commit(staged, changes, repository, head, name, options)
    options.log(f"loading {repository.id}@{commit[:10]} back")
    verify_loads(repository, commit)
    repository.tag(name, commit, f"{_TITLE}{name}")
    clear_pending(folder)
    return replace(planned, what="published", commit=commit), staged


def complete_interrupted_publish(
    repository: Repository, options: PublishOptions
) -> tuple[str | None, dict[str, str], bool]:
    """Give the last commit its tag if a run ended between the two; return head, tags and whether it did.

    A commit that does not load gets none: the next version is put on top of it.
    """
    head, tags = repository.head(), repository.tags()
    if head is None or head in tags.values() or options.dry_run:
        return head, tags, False
    title = repository.title(head)
    name = title.removeprefix(_TITLE)
    if not title.startswith(_TITLE) or name in tags:
        return head, tags, False
    options.log(f"finishing {name}: its commit is there and has no tag")
    try:
        verify_loads(repository, head)
    except DatasetError as error:
        options.log(f"{name} stays without a tag: {error}")
        return head, tags, False
    repository.tag(name, head, title)
    return head, tags | {name: head}, True


def _name(folder: Path, tags: Mapping[str, str], options: PublishOptions) -> str:
    """Choose the name of the next version: the one given, that of a run that did not end, or that of the day."""
    before = pending_version(folder)
    if before in tags:
        if not options.dry_run:
            clear_pending(folder)
        before = None
    if options.version is not None:
        return version_names.validate_version(options.version)
    return before or version_names.next_version(tags, options.when)


def _staged(folder: Path, name: str, options: PublishOptions) -> StagedVersion:
    return list_files(folder) if options.dry_run else stage_version(folder, name)


def _write_changelog(
    staged: StagedVersion, repository: Repository, head: str | None, name: str, options: PublishOptions
) -> tuple[StagedVersion, FileChanges]:
    """Write beside the tables what changed since `head`, and sign all; return what is to be sent now."""
    options.log("writing what changed")
    update_pending_changelog(repository, head, staged.folder, name)
    sign_manifest(staged.folder, options.sign_key)
    staged = list_files(staged.folder)
    return staged, compare_files(staged, repository.files(head) if head else {})


def _commit(
    staged: StagedVersion,
    changes: FileChanges,
    repository: Repository,
    head: str | None,
    name: str,
    options: PublishOptions,
) -> str:
    """Send what is new and commit it; what would not load does not even get that far."""
    options.log("loading the folder as readers will")
    here = FolderRepository(str(staged.folder))
    verify_loads(here, here.resolve(), staged.absent)
    held = _send(staged.folder, changes, repository, options)
    counts = ", ".join(f"{format_count(number)} {what}" for what, number in staged.counts.items())
    added, deleted = format_count(len(changes.add)), format_count(len(changes.delete))
    body = f"{counts}. {added} files added or changed, {deleted} removed."
    try:
        return repository.commit(changes.operations(staged.folder, held), head, f"{_TITLE}{name}", body)
    except NotFoundError as error:
        _ahead(staged.folder, repository, options).mark_upload_lost()
        raise DatasetError(f"{error}; run `filtercrawl sync` to write it again") from error


def _send(folder: Path, changes: FileChanges, repository: Repository, options: PublishOptions) -> dict[str, File]:
    """Send what the place has not; return what it has then, which need not lie here any more."""
    ahead = _ahead(folder, repository, options)
    held = {path: file for path, file in ahead.uploaded().items() if changes.add.get(path) == file}
    left = [file for path, file in changes.add.items() if path not in held]
    options.log(f"sending {format_count(len(left))} files, {format_size(sum(file.size for file in left))}")
    full = ahead.is_full()
    for went in upload_files(left, folder, repository, options.log):
        held |= {path: changes.add[path] for path in went}
        if full:
            ahead.drop(went)
    return held


def _ahead(folder: Path, repository: Repository, options: PublishOptions) -> LayerUploader:
    return LayerUploader(repository=repository, dataset=folder, max_local_bytes=options.max_disk, log=options.log)
