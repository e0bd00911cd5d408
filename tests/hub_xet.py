"""Xet for the Hub stand-in: the client uploads its chunks into a folder, and files are put together from there."""

from __future__ import annotations

import time
from pathlib import Path

from hub_answers import Answer


def token(folder: Path) -> Answer:
    """Tell the client where to put chunks: no server of its own is needed."""
    facts = {"accessToken": "xet", "exp": int(time.time()) + 3600, "casUrl": f"local://{folder}"}
    headers = {
        "X-Xet-Cas-Url": facts["casUrl"],
        "X-Xet-Access-Token": "xet",
        "X-Xet-Token-Expiration": str(facts["exp"]),
    }
    return Answer.json(facts, **headers, **{"X-Xet-Token-Expiration": str(facts["exp"])})


def take(folder: Path, blobs: dict[str, bytes]) -> None:
    """Put the files together that were uploaded, by their sha256."""
