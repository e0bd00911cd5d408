"""Python interface of publishing: what the commands do, as typed functions that return report objects.

Settings that a function does not take come from `FILTERCRAWL_*` variables and from `filtercrawl.toml` in the current
folder, as on the command line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import UsageError
from filtercrawl.api.extras import require_extra
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.api.progress import Progress
from filtercrawl.config import Settings, resolve
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.dataset.object_store.session import stored_dataset
from filtercrawl.display import open_progress
from filtercrawl.transport import network
from filtercrawl_publish.comparison import Difference, compare_snapshots, open_snapshot
from filtercrawl_publish.publishing import (
    PublishOptions,
    PublishResult,
    RollbackResult,
    publish_version,
    rollback_version,
)
from filtercrawl_publish.publishing.preupload import fetch_unpublished_layers
from filtercrawl_publish.publishing.space import known_space
from filtercrawl_publish.releasing.report import ReleaseReport
from filtercrawl_publish.releasing.request import prepare_release
from filtercrawl_publish.releasing.withdraw import WithdrawResult, withdraw_from_folder, withdraw_from_repository
from filtercrawl_publish.repository.open import open_head
from filtercrawl_publish.repository.version_names import validate_version
from filtercrawl_publish.verification import Issue, VerifyOptions, VerifyReport, verify_dataset

__all__ = ["diff", "publish", "release", "rollback", "verify", "withdraw"]


def publish(
    dataset: str | Path | None,
    repository: str,
    *,
    version: str | None = None,
    dry_run: bool | None = None,
    replace: bool = False,
    sign_key: Path | None = None,
    max_disk: int | str | None = None,
    space: str | None = None,
    progress: bool | Progress | None = None,
) -> PublishResult:
    """Publish a dataset as one atomic, verified, tagged version.

    Readers see the new version only after its commit; if the process is killed, the next call completes it.

    Args:
        dataset: The dataset folder or the URL of an object store; None for the one in the settings.
        repository: `org/name` on the Hub, or a folder such as `./published`.
        version: The version's name; None for that of the day in UTC.
        dry_run: Report what would be uploaded, and write nothing.
        replace: Publish also where the repository holds something else, or another dataset.
        sign_key: File with the Ed25519 private key that signs the manifest.
        max_disk: Bytes, or a size such as `20G`: if the local layers take more, uploaded ones are deleted.
        space: The static Space on the Hub that is to show the version: `org/name`, or `auto` for the name of the
            dataset. If it cannot be updated, the result has a warning.
        progress: True for a progress bar, None for one in interactive sessions only, or an object of your own.

    Returns:
        What was published; nothing, if no reader would see a change.

    Raises:
        ConflictError: Someone else published at the same time, or another run is using the folder.
        PolicyError: The repository holds something else or another dataset, a limit of the Hub is exceeded, or the card
            was edited on both sides.
        DatasetError: The dataset is inconsistent or does not load.
        NetworkError: The Hub could not be reached.
        UsageError: An argument is invalid.

    Example:
        >>> result = filtercrawl.publish("kernels", "org/kernels", version="v2026.11.23")
        >>> filtercrawl.open_dataset("org/kernels", revision=result.version)
    """
    options = {"dataset": dataset, "max_disk": max_disk, "dry_run": dry_run, "sign_key": sign_key, "space": space}
    settings = resolve(options, keywords=True)
    with open_progress(progress, "publishing") as watch:
        request = PublishOptions(
            version=version,
            dry_run=settings.dry_run,
            replace=replace,
            sign_key=settings.publish.sign_key,
            max_disk=None if max_disk is None else settings.max_disk,  # the setting of `sync` is no request to delete
            space=settings.publish.space,
            progress=watch,
        )
        target = open_head(repository, network(settings.network))
        with stored_dataset(settings, watch, read_only=settings.dry_run) as stored:
            if stored is not None and not settings.dry_run:
                fetch_unpublished_layers(settings.dataset, target, stored.layers)
            return publish_version(settings.dataset, target, request)


def release(
    repository: str,
    selectors: Sequence[str] = (),
    *,
    dataset: str | Path | None = None,
    settings: Settings | None = None,
    version: str | None = None,
    allow_loss: bool = False,
    replace: bool = False,
    write_plan: Path | None = None,
    apply_plan: Path | None = None,
    plugins: Plugins | None = None,
    progress: bool | Progress | None = None,
    cancellation: CancellationToken | None = None,
    cancelled_exit_code: Callable[[], int] | None = None,
) -> ReleaseReport:
    """Sync, analyze and publish the next version of a repository, if anything changed.

    Starts from the last version, also in an empty folder: everything but the weights is downloaded.

    Args:
        repository: `org/name` on the Hub, or a folder.
        selectors: What to sync; if empty, every source that needs no pattern.
        dataset: The dataset folder; None for the one in the settings.
        settings: Of all steps; None for those of the environment and `filtercrawl.toml`.
        version: The version's name, if there is one to publish; None for that of the day in UTC.
        allow_loss: Publish also if much of the last version is missing.
        replace: Publish also where the repository holds something that is no dataset of filtercrawl.
        write_plan: In a dry run, write what would be done to this file.
        apply_plan: Do what this plan allows, and nothing else.
        plugins: None for the installed ones.
        progress: True for a progress bar, None for one in interactive sessions only, or an object of your own.
        cancellation: Cancel it to end the release cleanly.
        cancelled_exit_code: Returns the exit code to report then.

    Raises:
        PolicyError: Too much of the last version would be lost, the folder holds another dataset, or the repository
            holds something else.
        ConflictError: Someone else published at the same time, or the plan is out of date.
        DatasetError: The dataset is inconsistent or does not load.
        NetworkError: The Hub could not be reached.
        UsageError: An argument is invalid, or the packages of the extra `analysis` are missing.
    """
    if settings is None:
        settings = resolve({"dataset": dataset}, keywords=True)
    elif dataset is not None:
        settings = dataclasses.replace(settings, dataset=Path(dataset).expanduser(), dataset_url=None)
    settings.require_folder()  # a release keeps its layers in the repository
    if allow_loss:
        settings = dataclasses.replace(settings, publish=dataclasses.replace(settings.publish, max_lost=1.0))
    plugins = plugins or load_plugins()
    request = prepare_release(repository, selectors, settings, plugins, write_plan=write_plan, apply_plan=apply_plan)
    request.replace = replace
    request.version = None if version is None else validate_version(version)
    request.cancellation = cancellation or request.cancellation
    request.cancelled_exit_code = cancelled_exit_code or request.cancelled_exit_code
    require_extra("release", "analysis")
    # Imports torch, which takes seconds: only once the arguments are known to be valid.
    from filtercrawl_publish.releasing.pipeline import run_release

    with open_progress(progress, "reading") as request.progress:
        return run_release(request)


def verify(
    dataset: str | Path,
    *,
    weights: bool = False,
    public_key: Path | None = None,
    load: bool = True,
    on_issue: Callable[[Issue], None] | None = None,
) -> VerifyReport:
    """Check a dataset folder or a published version using nothing but its files.

    Args:
        dataset: A folder, `org/name` or `org/name@version`.
        weights: For a repository on the Hub, download and read every layers file, one at a time; otherwise the digests
            that the Hub states are compared.
        public_key: File with the Ed25519 key that must have signed the manifest.
        load: Load every config with `datasets` in a new process, if nothing else is wrong.
        on_issue: Called with each issue as soon as it is found.

    Raises:
        DatasetError: There is no dataset here.
        UsageError: There is no such version.
        NetworkError: The Hub could not be reached.

    Example:
        >>> filtercrawl.verify("org/kernels@v2026.11.23").issues
    """
    options = VerifyOptions(weights=weights, public_key=public_key, load=load)
    issues = []
    for issue in verify_dataset(str(dataset), options, network(resolve({}).network)):
        issues.append(issue)
        if on_issue is not None:
            on_issue(issue)
    return VerifyReport(dataset=str(dataset), issues=tuple(issues))


def diff(before: str | Path, after: str | Path) -> Difference:
    """Compare two versions or folders; only tables are read.

    Args:
        before: A folder, `org/name` or `org/name@version`.
        after: What to compare it with.

    Raises:
        UsageError: There is no such version.
        DatasetError: There is no dataset here, or a table cannot be read.
        NetworkError: The Hub could not be reached.

    Example:
        >>> print(filtercrawl.diff("org/kernels@v2026.11.22", "org/kernels"))
    """
    with temporary_folder() as first, temporary_folder() as second:
        transport = network(resolve({}).network)
        return compare_snapshots(
            open_snapshot(str(before), first, transport), open_snapshot(str(after), second, transport)
        )


def rollback(
    repository: str,
    version: str,
    *,
    new_version: str | None = None,
    progress: bool | Progress | None = None,
) -> RollbackResult:
    """Publish the content of an earlier version as a new version; no tag moves and no history is lost.

    Args:
        repository: `org/name` on the Hub, or a folder.
        version: The earlier version.
        new_version: The new version's name; None for that of the day in UTC.
        progress: True for a progress bar, None for one in interactive sessions only, or an object of your own.

    Raises:
        UsageError: There is no such version, or the new name is invalid or exists already.
        ConflictError: Someone else published at the same time.
        DatasetError: The earlier version does not load.
        NetworkError: The Hub could not be reached.
    """
    settings = resolve({})
    target = open_head(repository, network(settings.network))
    space = known_space(target, settings.publish.space)
    with open_progress(progress, "publishing") as watch:
        return rollback_version(target, version, PublishOptions(version=new_version, space=space, progress=watch))


def withdraw(
    models: Sequence[str],
    reason: str,
    *,
    repository: str | None = None,
    dataset: str | Path | None = None,
    version: str | None = None,
    purge: bool = False,
    progress: bool | Progress | None = None,
) -> WithdrawResult:
    """Remove checkpoints from a repository, by a new version, or from a dataset folder, without publishing.

    Args:
        models: Model ids.
        reason: Published in the table `withdrawn`.
        repository: `org/name` on the Hub, or a folder with versions.
        dataset: The dataset folder or the URL of an object store; either this or `repository` is given.
        version: The name of the version without them; None for that of the day in UTC.
        purge: Also delete the weights from the history of the repository, and the versions that contain them. This
            cannot be undone.
        progress: True for a progress bar, None for one in interactive sessions only, or an object of your own.

    Raises:
        UsageError: A model id is unknown, the reason is empty, or an argument is invalid.
        ConflictError: Someone else published at the same time, or another run is using the folder.
        NetworkError: The Hub could not be reached.
    """
    if dataset is not None:
        if purge or version is not None or repository is not None:
            raise UsageError("--purge and --version apply to a repository: name it, and remove --dataset")
        settings = resolve({"dataset": dataset}, keywords=True)
        with open_progress(progress, "withdrawing") as watch, stored_dataset(settings, watch) as stored:
            layers = stored.layers if stored else None
            return withdraw_from_folder(models, reason, settings, layers, settings.dataset_url or "")
    if repository is None:
        raise UsageError("name a repository or a dataset folder to withdraw from")
    with open_progress(progress, "withdrawing") as watch:
        return withdraw_from_repository(repository, models, reason, resolve({}), watch, version=version, purge=purge)
