"""A source under test, with its zoo, a transport that holds a secret, and a dataset."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import Offer
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.api.source import Query, Source
from filtercrawl.config import NetworkSettings, Settings
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.testing.fake_zoo import FakeZoo
from filtercrawl.testing.file_server import FileServer
from filtercrawl.testing.network_guard import network_guard
from filtercrawl.testing.sample_weights import sample_weights
from filtercrawl.transport.client import HttpTransport
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy

TOKEN: Final = "FILTERCRAWL_CHECK_TOKEN"  # noqa: S105 - the name of a variable
# One in upper case, and one that another one is a part of.
NAMES: Final = ("net-a", "net-B", "net-ab")
_LICENSES: Final = {NAMES[1]: None, NAMES[2]: "ACME research license, no commercial use"}
# Two attempts without a delay are enough for a local server.
_QUICK: Final = TransportOptions(connect_timeout=5.0, read_timeout=10.0, retry=RetryPolicy(attempts=2, base_delay=0.0))


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The result of one listing.

    Attributes:
        error: What ended it; None if it is complete.
        outside: Connections that bypassed the transport.
        iterator: Whether `checkpoints` returned an iterator.
        early: Requests sent before the first checkpoint was needed.
        files: Weight files that were requested.
        requests: All requests.
    """

    offers: tuple[Offer, ...] = ()
    error: BaseException | None = None
    outside: tuple[str, ...] = ()
    iterator: bool = True
    early: int = 0
    files: int = 0
    requests: int = 0


@dataclass(frozen=True, kw_only=True)
class PluginHarness:
    """A source and what it is tested with.

    Attributes:
        zoo: The fake zoo; None if the real zoo is listed.
    """

    source: Source
    plugins: Plugins
    zoo: FakeZoo | None
    pattern: str | None
    folder: Path
    secret: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    auth: Mapping[str, str] = field(default_factory=dict)

    @property
    def fake(self) -> FakeZoo:
        if self.zoo is None:
            raise ValueError("this check needs a zoo that changes")
        return self.zoo

    @cached_property
    def listing(self) -> Listed:
        """One listing, made once, for the checks that change nothing."""
        return self.list()

    def list(self, pattern: str | None = None, known: Mapping[str, Any] | None = None) -> Listed:
        """List the source to its end or to its first error."""
        query = Query(pattern=pattern or self.pattern, settings=self._table(), previous_states=known or {})
        offers: list[Offer] = []
        error: BaseException | None = None
        early, iterator = 0, True
        before = self.zoo.requests() if self.zoo else (0, 0)
        with self._transport() as transport, network_guard(loopback_only=self.zoo is not None) as outside:
            try:
                listing = self.source.checkpoints(transport, query)
                early, iterator = transport.requests, hasattr(listing, "__next__")
                offers.extend(listing)
            except Exception as raised:  # noqa: BLE001 - a plugin's source may raise anything
                error = raised
            requests = transport.requests
        after = self.zoo.requests() if self.zoo else (0, 0)
        return Listed(
            offers=tuple(offers), error=error, outside=tuple(dict.fromkeys(outside)), iterator=iterator, early=early,
            files=after[1] - before[1], requests=requests,
        )  # fmt: skip

    def sync(self, pattern: str | None = None, *, progress: Progress | None = None, prune: bool = False) -> SyncReport:
        """Sync the zoo into the harness's dataset."""
        wanted = pattern or self.pattern
        settings = Settings(
            dataset=self.folder / "dataset",
            device="cpu",
            jobs=1,
            prune=prune,
            sources={self.source.name: self._table()},
        )
        selector = self.source.name if wanted is None else f"{self.source.name}:{wanted}"
        with self._transport() as transport:
            run = SyncContext(
                settings=settings, plugins=self.plugins, transport=transport, progress=progress or NullProgress()
            )
            return sync([selector], run)

    def model_id(self, name: str) -> str:
        return f"{self.source.name}/{self.fake.offered_as(name)}"

    def _table(self) -> Mapping[str, Any]:
        return {**self.settings, **(self.zoo.settings if self.zoo else {})}

    @contextmanager
    def _transport(self) -> Iterator[HttpTransport]:
        network = NetworkSettings(auth=self.auth, cache=self.folder / "cache")
        transport = HttpTransport(network, cancellation=CancellationToken(sleep=bool), options=_QUICK)
        try:
            yield transport
        finally:
            transport.close()


@contextmanager
def make_harness(
    source: Source,
    plugins: Plugins,
    conformance: Any,
    *,
    pattern: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[PluginHarness]:
    """Set up a source with a new fake zoo of three checkpoints, if there is one, and an empty folder.

    In the context the environment holds an invented token for the zoo's server, which no record may repeat.
    """
    secret = f"t0ken-{secrets.token_hex(16)}"
    # Requests to the local server bypass a proxy.
    surroundings = {TOKEN: secret, "no_proxy": ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1"]))}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, surroundings))
        folder = stack.enter_context(temporary_folder())
        zoo = None
        auth: dict[str, str] = {}
        if conformance is not None:
            server = stack.enter_context(FileServer())
            zoo = conformance(server)
            auth = {server.url: TOKEN}
            zoo.licenses.update(_LICENSES)
            zoo.add_all({name: sample_weights(number) for number, name in enumerate(NAMES)})
        yield PluginHarness(
            source=source, plugins=plugins, zoo=zoo, pattern=pattern or (zoo.pattern if zoo else None), folder=folder,
            secret=secret, settings=settings or {}, auth=auth,
        )  # fmt: skip
