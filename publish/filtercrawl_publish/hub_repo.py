"""A dataset repo on the Hub, as a place to publish to."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filtercrawl import hub
from filtercrawl.dataset.atomic import replacing
from filtercrawl.errors import BusyError, GoneError, NetworkError, UsageError
from filtercrawl.ranges import relative_path
from filtercrawl.transport import Transport
from filtercrawl.transport.answers import refuse, wrapped
from filtercrawl_publish.insist import insist
from filtercrawl_publish.remote import Operations, RemoteEntry

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
    from huggingface_hub.hf_api import RepoFile

    CommitOperation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete

# All that a repo holds that was just made.
_NEW: Final = frozenset({".gitattributes", "README.md"})
_PIECE: Final = 1024 * 1024


class HubRepo:
    """Implements `filtercrawl_publish.remote.Remote`."""

    def __init__(self, repo_id: str, transport: Transport, revision: str | None = None) -> None:
        self.id = repo_id
        self.revision = revision
        self.url = repo_id
        self._transport = transport
        self._sent: dict[str, tuple[Path, CommitOperationAdd]] = {}

    @property
    def _api(self) -> HfApi:
        """Over this transport also where another client of the Hub was opened meanwhile."""
        return hub.api(self._transport)

    def head(self) -> str | None:
        return self._refs()[0]

    def tags(self) -> dict[str, str]:
        return self._refs()[1]

    def resolve(self, revision: str | None = None) -> str:
        wanted = revision or self.revision
        head, tags = self._refs()
        if wanted in (None, "main") and head is not None:
            return head
        if wanted in tags:
            return tags[wanted]
        if wanted and head is not None:
            with hub.asking(f"{self.id}@{wanted}"):
                commits = self._api.list_repo_commits(self.id, repo_type="dataset", revision="main")
            found = [commit.commit_id for commit in commits if len(wanted) > 6 and commit.commit_id.startswith(wanted)]
            if len(found) == 1:
                return found[0]
        raise UsageError(f"{self.id}: has no version {wanted or 'at all'}; versions are {', '.join(tags) or 'none'}")

    def place(self, commit: str) -> tuple[str, str | None]:
        return self.id, commit

    def title(self, commit: str) -> str:
        with hub.asking(f"{self.id}@{commit}"):
            commits = self._api.list_repo_commits(self.id, repo_type="dataset", revision=commit)
        return commits[0].title if commits else ""

    def files(self, revision: str) -> dict[str, RemoteEntry]:
        from huggingface_hub.hf_api import RepoFile

        with hub.asking(f"{self.id}@{revision}"):
            tree = self._api.list_repo_tree(self.id, repo_type="dataset", revision=revision, recursive=True)
            return {item.path: _entry(item) for item in tree if isinstance(item, RepoFile)}

    def read(self, path: str, revision: str) -> bytes:
        return b"".join(self._pieces(path, revision))

    def fetch(self, paths: Iterable[str], revision: str, folder: Path) -> None:
        """The files are held against the size and hash that the repo states."""
        stated = self.files(revision)
        for path in paths:
            if path not in stated:
                raise GoneError(f"{self.id}@{revision}: has no file {path!r}")
            target = folder / relative_path(path)
            if target.is_file() and stated[path].is_file(target):
                continue
            self._bring(path, revision, stated[path], target, folder)

    def upload(self, add: Mapping[str, Path]) -> frozenset[str]:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        self._make()
        if not sys.stderr.isatty():
            disable_progress_bars()
        sent = {path: self._operation(path, file) for path, file in add.items()}

        def act() -> bool:
            self._api.preupload_lfs_files(self.id, list(sent.values()), repo_type="dataset", free_memory=True)
            return True

        insist(f"{self.id}: upload", act)
        # A small file goes with the commit: its operation is of no use ahead of it.
        went = {path: (add[path], operation) for path, operation in sent.items() if operation.path_or_fileobj == b""}
        self._sent |= went
        return frozenset(went)

    def commit(self, operations: Operations, parent: str | None, title: str, body: str) -> str:
        parent = parent or self._fresh()

        def act() -> str:
            return self._api.create_commit(
                self.id,
                self._wire(operations),
                commit_message=title,
                commit_description=body,
                repo_type="dataset",
                parent_commit=parent,
            ).oid

        def landed() -> str | None:
            head = self.head()
            if head == parent or head is None:
                return None
            if self._holds(head, operations):
                return head
            raise BusyError(f"{self.id}: somebody else published meanwhile; run again to publish on top of it")

        oid = insist(f"{self.id}: commit", act, landed)
        self._sent.clear()
        return oid

    def tag(self, name: str, commit: str, message: str) -> None:
        def there() -> str | None:
            found = self.tags().get(name)
            if found not in (None, commit):
                raise BusyError(f"{self.id}: the version {name} is another commit; a tag never moves, run again")
            return found

        def act() -> str:
            self._api.create_tag(self.id, tag=name, tag_message=message, revision=commit, repo_type="dataset")
            return commit

        insist(f"{self.id}: tag {name}", act, there)

    def _refs(self) -> tuple[str | None, dict[str, str]]:
        try:
            with hub.asking(self.id):
                refs = self._api.list_repo_refs(self.id, repo_type="dataset")
        except GoneError:
            return None, {}
        heads = [branch.target_commit for branch in refs.branches if branch.name == "main"]
        return (heads[0] if heads else None), {tag.name: tag.target_commit for tag in refs.tags}

    def _make(self) -> str:
        """Make the repo where there is none; return its head."""

        def act() -> bool:
            self._api.create_repo(self.id, repo_type="dataset", exist_ok=True)
            return True

        head = self.head()
        if head is None:
            insist(f"{self.id}: make the repo", act)
            head = self.head()
        if head is None:
            raise NetworkError(f"{self.id}: {hub.MISSING}, though it was just made; try again")
        return head

    def _fresh(self) -> str:
        """Return the head of a repo that nobody has published to."""
        head = self._make()
        if not self.files(head).keys() <= _NEW:
            raise BusyError(f"{self.id}: somebody else published the first version meanwhile; run again")
        return head

    def _holds(self, commit: str, operations: Operations) -> bool:
        """Tell whether a commit has what the operations were to make."""
        found = self.files(commit)
        if any(path in found for path in operations.delete):
            return False
        for path, file in operations.add.items():
            operation = self._sent.get(path, (None, None))[1]
            if path not in found:
                return False
            if operation is not None:  # the file itself may be gone
                if found[path].sha256 != operation.upload_info.sha256.hex():
                    return False
            elif not found[path].is_file(file):
                return False
        return operations.copy.keys() <= found.keys()

    def _wire(self, operations: Operations) -> list[CommitOperation]:
        """Return the client's operations, new ones but for uploads: a commit changes them, also one that fails."""
        from huggingface_hub import CommitOperationCopy, CommitOperationDelete

        return [
            *(self._operation(path, file) for path, file in operations.add.items()),
            *(
                CommitOperationCopy(src_path_in_repo=source, path_in_repo=path, src_revision=revision)
                for path, (source, revision) in operations.copy.items()
            ),
            *(CommitOperationDelete(path, is_folder=False) for path in operations.delete),
        ]

    def _operation(self, path: str, file: Path) -> CommitOperationAdd:
        from huggingface_hub import CommitOperationAdd

        known = self._sent.get(path)
        if known is not None and known[0] == file:
            return known[1]
        return CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(file))

    def _bring(self, path: str, revision: str, stated: RemoteEntry, target: Path, folder: Path) -> None:
        def act() -> bool:
            with replacing(target, folder) as scratch:
                with scratch.open("wb") as file:
                    for piece in self._pieces(path, revision):
                        file.write(piece)
                if not stated.is_file(scratch):
                    raise NetworkError(f"{self.id}@{revision}: {path} is not what the repo says it is")
            return True

        insist(f"{self.id}@{revision}: {path}", act)

    def _pieces(self, path: str, revision: str) -> Iterator[bytes]:
        from huggingface_hub import get_token, hf_hub_url

        url = hf_hub_url(self.id, path, repo_type="dataset", revision=revision, endpoint=self._api.endpoint)
        where = f"{self.id}@{revision}: {path}"
        token = get_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with wrapped(where), self._transport.client.stream("GET", url, headers=headers) as answer:
            refuse(answer, where)
            yield from answer.iter_bytes(_PIECE)


def _entry(item: RepoFile) -> RemoteEntry:
    return RemoteEntry(size=item.size, sha256=item.lfs.sha256 if item.lfs else None, oid=item.blob_id)
