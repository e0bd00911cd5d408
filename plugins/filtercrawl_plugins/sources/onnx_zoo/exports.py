"""The ONNX zoo's exports of other zoos' models, which lie on the Hub beside the models of its manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, Skipped
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.sources.shared.hub_listing import HubRepoListing, list_author_repos

_ORGANISATION: Final = "onnxmodelzoo"
_MANIFESTED: Final = "validated/"
_EXTERNAL: Final = (".data", ".onnx_data", ".onnx.data", ".bin", ".pb", ".weight")
_OPSET: Final = re.compile(r"[_-][Oo]pset(\d+)")


def list_exports(transport: Transport) -> Iterator[Offer]:
    """Yield every ONNX file of the zoo's repositories that is none of the manifest's, as `exports/REPO/PATH`.

    The commit of a repository is the etag of its files: one listing and no request a file. Raises NetworkError.
    """
    for repo in sorted(list_author_repos(transport, _ORGANISATION), key=lambda repo: repo.id):
        name = f"exports/{repo.id.partition('/')[2]}"
        if repo.gated or repo.disabled:
            reason = "gated" if repo.gated else "disabled by the Hub"
            yield Skipped(name=name, reason=f"{repo.id} is {reason}", revision=repo.commit)
            continue
        for path in sorted(repo.files or ()):
            if path.endswith(".onnx") and path.isprintable() and not path.startswith(_MANIFESTED):
                yield _offer(f"{name}/{path}", path, repo)


def _offer(name: str, path: str, repo: HubRepoListing) -> Checkpoint:
    file = repo.remote_file(path)
    beside = (other for other in sorted(repo.files or ()) if other != path and _is_data_of(path, other))
    files = (file, *(repo.remote_file(other) for other in beside))
    opset = _OPSET.search(name)
    return Checkpoint(
        name=name,
        revision=file.sha256 if len(files) == 1 else None,
        files=files,
        meta=CheckpointMetadata(library="onnx", extra={"opset": int(opset[1])} if opset else {}),
    )


def _is_data_of(path: str, other: str) -> bool:
    """Tell whether a file may hold the weights of an ONNX file: it lies beside it and begins with its name."""
    model, data = PurePosixPath(path), PurePosixPath(other)
    return data.parent == model.parent and data.name.startswith(model.stem) and data.name.endswith(_EXTERNAL)
