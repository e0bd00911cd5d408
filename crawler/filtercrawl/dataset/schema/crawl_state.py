"""What the next run compares a checkpoint with and no reader of the dataset needs, as one published column."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Self

from filtercrawl.api.checkpoint import TrainingState

# The fields that are published, by their names in the JSON object. `url` is not: it may be a path of this machine.
PUBLISHED: Final = (
    "code",
    "files",
    "linked",
    "offered_as",
    "prefix",
    "restricted",
    "run_final",
    "tensors",
    "training",
    "tried",
    "version",
)


@dataclass(frozen=True, kw_only=True)
class AttemptedVersion:
    """The version of a checkpoint that was read last, whether or not that worked.

    Attributes:
        revision: As its source stated it; None where it stated none.
        etag: The etags of its files as one; None where a file has none.
    """

    revision: str | None = None
    etag: str | None = None


NO_VERSION: Final = AttemptedVersion()


@dataclass(frozen=True, kw_only=True)
class CrawlState:
    """What the next run needs to know of a checkpoint beside the columns of `models`.

    Attributes:
        tried: The version that was read last; None where the columns `revision` and `etag` say it.
        files: Path and etag of every file, the main file first.
        prefix: The prefix of the tensors' names that belong to the model.
        version: What the server called the bytes that were read.
        offered_as: The name under which the source offers the checkpoint now, where it was renamed.
        restricted: Why its source gives no access to it any more, of what is kept nevertheless; None where it does.
        run_final: Whether it is the last of its run, where its source states it; else that follows from the steps.
        tensors: SHA-256 of all its tensors, name for name; None where it is not known.
        training: How far training was, as the files state it; None where they state nothing.
        code: Names of the functions that loading its files elsewhere would run; None for none.
        linked: True where its path leads through a symbolic link, None elsewhere.
        url: Location of the main file: a URL without its query, or a `file:` URL of this machine.
    """

    tried: AttemptedVersion | None = None
    files: tuple[tuple[str | None, str | None], ...] | None = None
    prefix: str | None = None
    version: str | None = None
    offered_as: str | None = None
    restricted: str | None = None
    run_final: bool | None = None
    tensors: str | None = None
    training: TrainingState | None = None
    code: tuple[str, ...] | None = None
    linked: bool | None = None
    url: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are known and may be published, as JSON values."""
        known = {name: getattr(self, name) for name in PUBLISHED if getattr(self, name) is not None}
        if self.tried is not None:
            known["tried"] = {"revision": self.tried.revision, "etag": self.tried.etag}
        if self.training is not None:
            known["training"] = {name: value for name, value in vars(self.training).items() if value is not None}
        return known

    @classmethod
    def from_json(cls, known: dict[str, Any], url: str | None = None) -> Self:
        """Undo `as_json`.

        Raises:
            ValueError: A value has another form.
        """
        tried, files = known.get("tried"), known.get("files")
        try:
            return cls(
                tried=None if tried is None else AttemptedVersion(revision=tried["revision"], etag=tried["etag"]),
                files=None if files is None else tuple((path, etag) for path, etag in files),
                prefix=known.get("prefix"),
                version=known.get("version"),
                offered_as=known.get("offered_as"),
                restricted=known.get("restricted"),
                run_final=known.get("run_final"),
                tensors=known.get("tensors"),
                training=_training_state(known.get("training")),
                code=None if known.get("code") is None else tuple(map(str, known["code"])),
                linked=known.get("linked"),
                url=url,
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"the column state is not as it was written ({error!r})") from error

    def pack(self, current: AttemptedVersion) -> str | None:
        """Return the published column: a JSON object, None where there is nothing to know.

        Args:
            current: The version that the columns `revision` and `etag` state: the same need not be said again.
        """
        known = self.as_json()
        if self.tried == current:
            del known["tried"]
        return json.dumps(known, sort_keys=True, separators=(",", ":")) if known else None

    @classmethod
    def unpack(cls, text: str | None, current: AttemptedVersion, url: str | None) -> Self:
        """Undo `pack`; `url` is that of the published row.

        Raises:
            ValueError: The text is no JSON object of this form.
        """
        if text is None:
            return cls()
        known = json.loads(text)
        if not isinstance(known, dict):
            raise ValueError("the column state holds no JSON object")
        return cls.from_json({"tried": {"revision": current.revision, "etag": current.etag}, **known}, url)


def _training_state(known: dict[str, Any] | None) -> TrainingState | None:
    """Return a published training state; raises TypeError if it has another form."""
    if known is None:
        return None
    if not all(type(value) is int for value in known.values()):
        raise TypeError("training holds something else than whole numbers")
    return TrainingState(**known)
