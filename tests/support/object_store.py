"""An S3 server on this machine: moto's, behind a door that can count, refuse and kill."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fsspec

from filtercrawl.dataset.files.manifest import ABOUT_RUNS

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# All servers of a process have the same buckets.
_NUMBERS = itertools.count()


class ObjectStoreServer:
    """A running server.

    Attributes:
        url: Its address.
        requests: Method and path of the requests so far.
        conditional: Whether it heeds the condition of a conditional write; some older stores ignore it.
        after_request: Called with the number of requests so far when one has been handled.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application
        self.url = ""
        self.requests: list[tuple[str, str]] = []
        self.conditional = True
        self.after_request: Callable[[int], None] = lambda _: None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if not self.conditional:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        answer = self._application(environ, start_response)
        self.after_request(len(self.requests))
        return answer

    @property
    def environment(self) -> dict[str, str]:
        """What clients have to know."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}

    def new_bucket(self) -> str:
        """Make a bucket of its own for a test; returns its name."""
        name = f"bucket-{next(_NUMBERS)}"
        self.files().mkdir(name)
        return name

    def files(self) -> Any:
        """A client that remembers no listing."""
        options = {"key": "key", "secret": "secret", "endpoint_url": self.url}
        return fsspec.filesystem("s3", use_listings_cache=False, **options)

    def objects(self, url: str, *, hidden: bool = False) -> dict[str, bytes]:
        """The objects below a URL by path, those that no two runs make alike only where asked for."""
        client, root = self.files(), url.removeprefix("s3://")
        paths = {path.removeprefix(f"{root}/"): path for path in client.find(root)}
        return {
            name: client.cat_file(path)
            for name, path in sorted(paths.items())
            if hidden or not (name.startswith(".filtercrawl/") or name in ABOUT_RUNS)
        }

    def expire_leases(self, url: str) -> None:
        """Let a lease expire, as that of a machine that sleeps does."""
        client = self.files()
        for path, content in self.objects(url, hidden=True).items():
            if path.startswith(".filtercrawl/leases/"):
                client.pipe_file(f"{url}/{path}", json.dumps(json.loads(content) | {"expires": 0}).encode())


@contextmanager
def object_store_server() -> Iterator[ObjectStoreServer]:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    door = ObjectStoreServer(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, door, threaded=True)
    door.url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
