"""The command `rollback`: what an earlier version held is published again, as a new version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import JsonOption, print_json
from filtercrawl.cli.progress import open_command_progress
from filtercrawl.dataset.card import card
from filtercrawl.dataset.files import manifest
from filtercrawl_publish.repository.base import CommitOperations, Repository, RepositoryFile
from filtercrawl_publish.repository.signature import SIGNATURE

if TYPE_CHECKING:
    from filtercrawl_publish.publishing.publish import PublishOptions

# What a version consists of; other files of a repo are somebody's own and stay.
_OURS: Final = tuple(f"{part}/" for part in manifest.PARTS)
_BESIDE: Final = frozenset({card.PATH, manifest.PATH, manifest.CHANGELOG, manifest.CHANGES, SIGNATURE})


@dataclass(frozen=True, kw_only=True)
class RollbackResult:
    """what: published, finished (an earlier run's commit got its tag) or nothing (the head is that version already).

    version, commit: of the new version; to: whose content it has.
    """

    what: str
    repo: str
    version: str | None
    commit: str
    to: str


def rollback(repository: Repository, version: str, options: PublishOptions) -> RollbackResult:
    """Publish what `version` holds once more; release: a `publish.PublishOptions`.

    The commit is proven from outside before it is tagged; no tag moves, and killed at any point the next call ends
    with the same. Raises UsageError where there is no such version, BusyError where somebody else publishes meanwhile,
    DatasetError where the version does not load.
    """
    from filtercrawl_publish.publishing.load_check import verify_loads
    from filtercrawl_publish.publishing.publish import complete_interrupted_publish
    from filtercrawl_publish.repository import version_names

    commit = repository.resolve(version)
    head, tags, done = complete_interrupted_publish(repository, options)
    assert head is not None  # there is a version
    there, here = _ours(repository.files(commit)), _ours(repository.files(head))
    if manifest.PATH not in there:
        raise UsageError(f"{repository.id}@{version}: is no version of a dataset: it has no {manifest.PATH}")
    differ = {path for path, entry in there.items() if not _same(entry, here.get(path))}
    gone = tuple(sorted(here.keys() - there.keys()))
    if not differ and not gone:
        last = {sha: name for name, sha in tags.items()}.get(head)
        return RollbackResult(
            what="finished" if done else "nothing", repo=repository.id, version=last, commit=head, to=version
        )
    verify_loads(repository, commit)
    name = version_names.validate_version(options.version or version_names.next_version(tags, options.when))
    if name in tags:
        raise UsageError(f"{repository.id}: has a version {name} already, and a tag never moves; choose another name")
    options.log(f"publishing {version} of {repository.id} as {name}")
    operations = CommitOperations(copy={path: (path, commit) for path in sorted(differ)}, delete=gone)
    made = repository.commit(operations, head, f"Release {name}", f"The content of {version}.")
    verify_loads(repository, made)
    repository.tag(name, made, f"Release {name}, the content of {version}")
    return RollbackResult(what="published", repo=repository.id, version=name, commit=made, to=version)


def _ours(files: dict[str, RepositoryFile]) -> dict[str, RepositoryFile]:
    return {path: entry for path, entry in files.items() if path.startswith(_OURS) or path in _BESIDE}


def _same(entry: RepositoryFile, other: RepositoryFile | None) -> bool:
    return other is not None and (entry.size, entry.sha256, entry.oid) == (other.size, other.sha256, other.oid)


def run(
    repo: Annotated[str, typer.Argument(help="A dataset repo, `org/name`, or a folder, `./name`.", show_default=False)],
    version: Annotated[str, typer.Argument(help="The version to go back to.", show_default=False)],
    name: Annotated[
        str | None, typer.Option("--version", metavar="V", help="The new version's name.", show_default="the day's")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Publish what an earlier version holds once more, as a new version: no tag moves, no history is lost.

    Nothing is downloaded but small files. May be killed at any moment and run again. A dataset folder is left as it is;
    the next `release` goes on from the version that was published.
    """
    from filtercrawl.config import now, resolve
    from filtercrawl.transport import network
    from filtercrawl_publish.publishing.publish import PublishOptions
    from filtercrawl_publish.repository.open import open_repository

    place = open_repository(repo, network(resolve({}).network))
    if place.revision is not None:
        raise UsageError(f"{repo!r}: name the version as the second argument, without @{place.revision}")
    with open_command_progress() as watch:
        found = rollback(place, version, PublishOptions(version=name, when=now(), log=watch.message))
    if json:
        print_json(asdict(found))
        return
    told = {
        "published": f"published {found.version}: {found.repo} holds what {version} holds",
        "finished": f"finished {found.version}: {found.repo} holds what {version} holds",
        "nothing": f"{found.repo} holds what {version} holds already",
    }
    typer.echo(escape_control(told[found.what]))


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="rollback", run=run)
