"""Publish a dataset folder as one atomic, verified, tagged version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from filtercrawl.api.errors import DatasetError, NotFoundError
from filtercrawl.api.formatting import format_count, format_size
from filtercrawl.dataset.card.release import Release
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.lock import locked
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.comparison.changelog import update_pending_changelog
from filtercrawl_publish.publishing.base_version import BaseVersion, record_base
from filtercrawl_publish.publishing.card_merge import merge_user_edits
from filtercrawl_publish.publishing.change_filter import has_reader_visible_change
from filtercrawl_publish.publishing.checkpoints_file import write_checkpoints
from filtercrawl_publish.publishing.deferred_files import fetch_deferred
from filtercrawl_publish.publishing.hub_limits import check_hub_limits
from filtercrawl_publish.publishing.load_check import PublishedBefore, verify_loads, verify_staged
from filtercrawl_publish.publishing.options import PublishOptions, PublishResult
from filtercrawl_publish.publishing.overwrite_guard import check_overwrite
from filtercrawl_publish.publishing.preupload import LayerUploader
from filtercrawl_publish.publishing.repair import repair_head
from filtercrawl_publish.publishing.repository_state import (
    TITLE_PREFIX,
    RepositoryState,
    complete_interrupted_publish,
    published_before,
)
from filtercrawl_publish.publishing.run_log import log_comparison, log_step
from filtercrawl_publish.publishing.space import choose_space, update_space
from filtercrawl_publish.publishing.staging import (
    StagedVersion,
    clear_pending,
    has_catalog,
    list_files,
    stage_version,
)
from filtercrawl_publish.publishing.update_guard import check_updates, note_published
from filtercrawl_publish.publishing.upload import FileChanges, compare_files, upload_files
from filtercrawl_publish.publishing.version_choice import check_clock, choose_version
from filtercrawl_publish.publishing.withdrawal_guard import check_withdrawals
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.errors import version_exists
from filtercrawl_publish.repository.signature import sign_manifest

__all__ = ["publish_version"]


def publish_version(
    dataset: Path,
    repository: Repository,
    options: PublishOptions,
    check_state: Callable[[RepositoryState], None] = lambda _: None,
) -> PublishResult:
    """Publish a dataset folder as one version.

    The steps: complete what an interrupted run left, restore files of the last version that somebody else deleted or
    changed, stage the folder, stop if nothing changed, write the change log, check the Hub's limits, load the folder
    locally, upload new files, commit, load the commit back, tag it, and update the Space if there is to be one.

    Readers see the new version only after the commit, which is atomic. If the process is killed, the repository has
    either its old head, or the new commit without a tag, which the next call verifies and tags. Uploaded content
    without a commit is invisible and is reused.

    Args:
        dataset: The dataset folder; locked while this runs.
        repository: Where to publish.
        options: See `PublishOptions`.
        check_state: Called with the head and tags on top of which is to be published; what it raises ends it.

    Raises:
        ConflictError: Someone else published at the same time, or another run is using the folder.
        AccessDeniedError: The token may not write there.
        PolicyError: The repository holds something else or another dataset, the version exceeds a limit of the Hub, the
            card was edited on both sides, or a wrong clock would name the version.
        DatasetError: The folder holds no dataset, is inconsistent, or does not load.
        NetworkError: The Hub could not be reached.
        UsageError: The version name is invalid or exists already, or the Space cannot be one.
    """
    choose_space(repository, options.space)
    result = _publish_locked(dataset, repository, options, check_state)
    space = update_space(repository, options, result.version, result.commit)
    return replace(result, space=space, warnings=result.warnings + space.warnings) if space else result


def _publish_locked(
    dataset: Path, repository: Repository, options: PublishOptions, check_state: Callable[[RepositoryState], None]
) -> PublishResult:
    with locked(dataset):
        result, staged = _publish(dataset, repository, options, check_state)
        if options.dry_run or result.commit is None or result.version is None or not has_catalog(dataset):
            return result
        note_published(dataset, repository, result.commit)
        if options.max_disk is not None or staged.absent:
            record_base(
                dataset,
                BaseVersion(repo=repository.id, version=result.version, commit=result.commit, root=staged.root),
            )
            uploader = _uploader(dataset, repository, options)
            if uploader.is_full():
                uploader.drop_released()
    return result


def _publish(
    dataset: Path, repository: Repository, options: PublishOptions, check_state: Callable[[RepositoryState], None]
) -> tuple[PublishResult, StagedVersion]:
    state, repaired = repair_head(repository, complete_interrupted_publish(repository, options), options)
    check_state(state)
    head = state.head
    if not options.dry_run:
        repository.check_token()
        fetch_deferred(dataset, repository)
    dataset_id = DatasetFolder(dataset).manifest().get("dataset_id")
    check_overwrite(repository, head, dataset_id, replace=options.replace)
    models = DatasetFolder(dataset).rows("models", ["model_id", "outcome"])
    command = f"filtercrawl withdraw MODEL ... --reason TEXT --dataset {dataset}"
    check_withdrawals(repository, head, models, f"withdraw them here too: `{command}`")
    check_updates(dataset, repository, head, replace=options.replace)
    if not options.dry_run and merge_user_edits(dataset, repository, head, state.tags):
        options.progress.message(f"{repository.id}: the card was edited there; taking over its hand-written parts")
    version = choose_version(dataset, state.tags, options)
    staged = list_files(dataset) if options.dry_run else stage_version(dataset, version)
    changes = compare_files(staged, repository.files(head) if head else {})
    log_comparison(repository.id, version, changes)
    if head is not None and not (changes and has_reader_visible_change(changes, staged, repository, head)):
        if not options.dry_run:
            clear_pending(dataset)
        return _unchanged(repository, head, state, repaired), staged
    if version in state.tags:
        raise version_exists(repository.id, version)
    if options.version is None and not options.dry_run:
        check_clock(repository, state.tags, options.now)
    if not options.dry_run:
        staged, changes = _write_changelog(staged, repository, head, version, options)
    warnings = (*_as_warnings(repaired), *check_hub_limits(staged, changes))
    planned = PublishResult(
        outcome="planned",
        repository=repository.id,
        version=version,
        commit=None,
        files=len(changes.add),
        removed=len(changes.delete),
        bytes=changes.bytes,
        warnings=warnings,
    )
    if options.dry_run:
        return planned, staged
    before = replace(published_before(repository, state, version), folder=dataset)
    commit = _upload_and_commit(staged, changes, repository, before, head, options)
    options.progress.message(f"checking that {repository.id}@{commit[:10]} loads")
    with log_step(repository.id, version, "check"):
        verify_loads(repository, commit, before)
    with log_step(repository.id, version, "tag"):
        repository.tag(version, commit, f"{TITLE_PREFIX}{version}")
    clear_pending(dataset)
    return replace(planned, outcome="published", commit=commit), staged


def _as_warnings(repaired: str | None) -> tuple[str, ...]:
    return () if repaired is None else (repaired,)


def _unchanged(repository: Repository, head: str, state: RepositoryState, repaired: str | None) -> PublishResult:
    return PublishResult(
        outcome="finished" if state.completed else "nothing",
        repository=repository.id,
        version=state.head_version,
        commit=head,
        warnings=_as_warnings(repaired),
    )


def _write_changelog(
    staged: StagedVersion, repository: Repository, head: str | None, version: str, options: PublishOptions
) -> tuple[StagedVersion, FileChanges]:
    """Write the changes since `head` into the folder and sign its manifest; return what is to be published now."""
    options.progress.message("writing the change log")
    if has_catalog(staged.folder):
        write_checkpoints(staged.folder)
    release = Release(version=version, hub_id=repository.hub_id, space_id=choose_space(repository, options.space))
    update_pending_changelog(repository, head, staged.folder, release)
    sign_manifest(staged.folder, options.sign_key)
    staged = list_files(staged.folder)
    return staged, compare_files(staged, repository.files(head) if head else {})


def _upload_and_commit(
    staged: StagedVersion,
    changes: FileChanges,
    repository: Repository,
    before: PublishedBefore,
    head: str | None,
    options: PublishOptions,
) -> str:
    """Load the folder locally first, so that a broken one is not even uploaded; then upload and commit."""
    version = before.version
    options.progress.message("checking that the folder loads")
    with log_step(repository.id, version, "local check"):
        verify_staged(staged, before)
    with log_step(repository.id, version, "upload", files=len(changes.add), bytes=changes.bytes):
        uploaded = _upload(staged.folder, changes, repository, options)
    counts = ", ".join(f"{format_count(number)} {name}" for name, number in staged.counts.items())
    added, deleted = format_count(len(changes.add)), format_count(len(changes.delete))
    body = f"{counts}. {added} files added or changed, {deleted} removed."
    try:
        with log_step(repository.id, version, "commit"):
            operations = changes.operations(staged.folder, uploaded)
            return repository.commit(operations, head, f"{TITLE_PREFIX}{version}", body)
    except NotFoundError as error:
        _uploader(staged.folder, repository, options).mark_upload_lost()
        raise DatasetError(f"{error}; run `filtercrawl sync` to write it again") from error


def _upload(dataset: Path, changes: FileChanges, repository: Repository, options: PublishOptions) -> dict[str, File]:
    """Upload what the repository lacks; return all files whose content it has then, some of them absent locally."""
    uploader = _uploader(dataset, repository, options)
    uploaded = {path: file for path, file in uploader.uploaded().items() if changes.add.get(path) == file}
    missing = [file for path, file in changes.add.items() if path not in uploaded]
    size = format_size(sum(file.size for file in missing))
    options.progress.message(f"uploading {format_count(len(missing))} files, {size}")
    full = uploader.is_full()
    for paths in upload_files(missing, dataset, repository, options.progress):
        uploaded |= {path: changes.add[path] for path in paths}
        if full:
            uploader.drop(paths)
    return uploaded


def _uploader(dataset: Path, repository: Repository, options: PublishOptions) -> LayerUploader:
    return LayerUploader(
        repository=repository, dataset=dataset, max_local_bytes=options.max_disk, progress=options.progress
    )
