"""The ONNX zoo's own exports of models of other zoos, in repositories of its organization on the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, Skipped
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.sources.shared.hub_listing import HubRepoListing, list_author_repos

_ORGANIZATION: Final = "onnxmodelzoo"
# Folder of the models that the manifest lists.
_MANIFEST_FOLDER: Final = "validated/"
# Extensions of external data files.
_DATA_EXTENSIONS: Final = (".data", ".onnx_data", ".onnx.data", ".bin", ".pb", ".weight")
_OPSET: Final = re.compile(r"[_-][Oo]pset(\d+)")


def list_exports(transport: Transport) -> Iterator[Offer]:
    """Yield every ONNX file of the zoo's repositories that is not in the manifest, as `exports/REPO/PATH`.

    One listing and no request per file: the etag of a file is the commit of its repository.

    Raises:
        NetworkError: The Hub cannot be reached.
    """
    for repo in sorted(list_author_repos(transport, _ORGANIZATION), key=lambda repo: repo.id):
        name = f"exports/{repo.id.partition('/')[2]}"
        if repo.gated or repo.disabled:
            reason = "gated" if repo.gated else "disabled by the Hub"
            yield Skipped(name=name, reason=f"{repo.id} is {reason}", revision=repo.commit, restricted=True)
            continue
        for path in sorted(repo.files or ()):
            if path.endswith(".onnx") and path.isprintable() and not path.startswith(_MANIFEST_FOLDER):
                yield _make_checkpoint(f"{name}/{path}", path, repo)


def _make_checkpoint(name: str, path: str, repo: HubRepoListing) -> Checkpoint:
    file = repo.remote_file(path)
    data_paths = (other for other in sorted(repo.files or ()) if other != path and _is_data_of(path, other))
    files = (file, *(repo.remote_file(data_path) for data_path in data_paths))
    opset = _OPSET.search(name)
    return Checkpoint(
        name=name,
        revision=file.sha256 if len(files) == 1 else None,
        files=files,
        meta=CheckpointMetadata(library="onnx", extra={"opset": int(opset[1])} if opset else {}),
    )


def _is_data_of(path: str, other: str) -> bool:
    """Return whether a file may be external data of a model: same folder, same start of the name."""
    model, data = PurePosixPath(path), PurePosixPath(other)
    return data.parent == model.parent and data.name.startswith(model.stem) and data.name.endswith(_DATA_EXTENSIONS)
