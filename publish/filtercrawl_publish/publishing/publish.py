"""The command `publish`: one atomic, verified, tagged version of a dataset, on the Hub or in a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from filtercrawl.api.errors import DatasetError, GoneError, UsageError
from filtercrawl.api.formatting import amount, size
from filtercrawl.dataset.files.lock import locked
from filtercrawl_publish.diff.changelog import announce
from filtercrawl_publish.publishing.base_version import Base, note
from filtercrawl_publish.publishing.card_merge import take_over
from filtercrawl_publish.publishing.change_filter import has_news
from filtercrawl_publish.publishing.hub_limits import check
from filtercrawl_publish.publishing.load_check import prove
from filtercrawl_publish.publishing.preupload import Ahead
from filtercrawl_publish.publishing.staging import Staged, has_catalog, listed, pending, settle, stage
from filtercrawl_publish.publishing.upload import Changes, compare, send
from filtercrawl_publish.repository import version_names
from filtercrawl_publish.repository.folder import LocalRepo
from filtercrawl_publish.repository.signature import sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from filtercrawl.dataset.files.parquet import File
    from filtercrawl_publish.repository.base import Remote

__all__ = ["Published", "Release", "finish", "publish"]

# By which a commit without a tag is known as one of ours, and what its tag was to be.
_TITLE = "Release "


@dataclass(frozen=True, kw_only=True)
class Published:
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
class Release:
    """How to publish. version: a name given, else that of the day. say: is told what happens, a line each.

    sign_key: a file with the private key by which the manifest is signed.
    max_disk: bytes; where the files of layers take that much, those that the place has are deleted here.
    """

    version: str | None = None
    when: datetime
    dry_run: bool = False
    sign_key: Path | None = None
    max_disk: int | None = None
    say: Callable[[str], None] = lambda _: None


def publish(folder: Path, place: Remote, release: Release) -> Published:
    """Publish the dataset in `folder` as one version.

    The commit is proven from outside before it is tagged. Killed at any point, or refused by the network, it leaves
    the place as it was, or with a commit that the next call finishes. Raises BusyError where somebody else publishes
    at the same time, RefusedError above the Hub's limits, DatasetError and NetworkError.
    """
    with locked(folder):
        found, staged = _publish(folder, place, release)
        if release.dry_run or found.commit is None or found.version is None or not has_catalog(folder):
            return found
        if release.max_disk is not None or staged.absent:
            note(folder, Base(repo=place.id, version=found.version, commit=found.commit, root=staged.root))
            ahead = _ahead(folder, place, release)
            if ahead.is_full():
                ahead.drop_released()
    return found


def _publish(folder: Path, place: Remote, release: Release) -> tuple[Published, Staged]:
    head, tags, done = finish(place, release)
    if not release.dry_run and take_over(folder, place, head, tags):
        release.say(f"the card was edited in {place.id}: its hand-written parts are taken over")
    name = _name(folder, tags, release)
    staged = _staged(folder, name, release)
    changes = compare(staged, place.files(head) if head else {})
    if head is not None and not (changes and has_news(changes, staged, place, head)):
        if not release.dry_run:
            settle(folder)
        last = {commit: tag for tag, commit in tags.items()}.get(head)
        return Published(what="finished" if done else "nothing", repo=place.id, version=last, commit=head), staged
    if name in tags:
        raise UsageError(f"{place.id}: has a version {name} already, and a tag never moves; choose another name")
    if not release.dry_run:
        staged, changes = _described(staged, place, head, name, release)
    warnings = tuple(check(staged, changes))
    planned = Published(
        what="planned",
        repo=place.id,
        version=name,
        commit=None,
        files=len(changes.add),
        removed=len(changes.delete),
        bytes=changes.bytes,
        warnings=warnings,
    )
    if release.dry_run:
        return planned, staged
    commit = _commit(staged, changes, place, head, name, release)
    release.say(f"loading {place.id}@{commit[:10]} back")
    prove(place, commit)
    place.tag(name, commit, f"{_TITLE}{name}")
    settle(folder)
    return replace(planned, what="published", commit=commit), staged


def finish(place: Remote, release: Release) -> tuple[str | None, dict[str, str], bool]:
    """Give the last commit its tag if a run ended between the two; return head, tags and whether it did.

    A commit that does not load gets none: the next version is put on top of it.
    """
    head, tags = place.head(), place.tags()
    if head is None or head in tags.values() or release.dry_run:
        return head, tags, False
    title = place.title(head)
    name = title.removeprefix(_TITLE)
    if not title.startswith(_TITLE) or name in tags:
        return head, tags, False
    release.say(f"finishing {name}: its commit is there and has no tag")
    try:
        prove(place, head)
    except DatasetError as error:
        release.say(f"{name} stays without a tag: {error}")
        return head, tags, False
    place.tag(name, head, title)
    return head, tags | {name: head}, True


def _name(folder: Path, tags: Mapping[str, str], release: Release) -> str:
    """Choose the name of the next version: the one given, that of a run that did not end, or that of the day."""
    before = pending(folder)
    if before in tags:
        if not release.dry_run:
            settle(folder)
        before = None
    if release.version is not None:
        return version_names.checked(release.version)
    return before or version_names.next_version(tags, release.when)


def _staged(folder: Path, name: str, release: Release) -> Staged:
    return listed(folder) if release.dry_run else stage(folder, name)


def _described(staged: Staged, place: Remote, head: str | None, name: str, release: Release) -> tuple[Staged, Changes]:
    """Write beside the tables what changed since `head`, and sign all; return what is to be sent now."""
    release.say("writing what changed")
    announce(place, head, staged.folder, name)
    sign(staged.folder, release.sign_key)
    staged = listed(staged.folder)
    return staged, compare(staged, place.files(head) if head else {})


def _commit(staged: Staged, changes: Changes, place: Remote, head: str | None, name: str, release: Release) -> str:
    """Send what is new and commit it; what would not load does not even get that far."""
    release.say("loading the folder as readers will")
    here = LocalRepo(str(staged.folder))
    prove(here, here.resolve(), staged.absent)
    held = _send(staged.folder, changes, place, release)
    counts = ", ".join(f"{amount(number)} {what}" for what, number in staged.counts.items())
    body = f"{counts}. {amount(len(changes.add))} files added or changed, {amount(len(changes.delete))} removed."
    try:
        return place.commit(changes.operations(staged.folder, held), head, f"{_TITLE}{name}", body)
    except GoneError as error:
        _ahead(staged.folder, place, release).disown()
        raise DatasetError(f"{error}; run `filtercrawl sync` to write it again") from error


def _send(folder: Path, changes: Changes, place: Remote, release: Release) -> dict[str, File]:
    """Send what the place has not; return what it has then, which need not lie here any more."""
    ahead = _ahead(folder, place, release)
    held = {path: file for path, file in ahead.held().items() if changes.add.get(path) == file}
    left = [file for path, file in changes.add.items() if path not in held]
    release.say(f"sending {amount(len(left))} files, {size(sum(file.size for file in left))}")
    full = ahead.is_full()
    for went in send(left, folder, place, release.say):
        held |= {path: changes.add[path] for path in went}
        if full:
            ahead.drop(went)
    return held


def _ahead(folder: Path, place: Remote, release: Release) -> Ahead:
    return Ahead(place=place, dataset=folder, most=release.max_disk, say=release.say)
