"""Digests of offers: the same for the same, another one for any difference."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, RemoteFile, Skipped, TrainingRun
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.pipeline.offer_digest import OfferDigest

DIGEST = OfferDigest(version="1")
FILE = RemoteFile(url="https://lab.example/net", size=1, sha256="a", etag="e", path="net")
META = CheckpointMetadata(license="MIT", training_datasets=("imagenet-1k",), extra={"a": 1})
OFFER = Checkpoint(name="net", revision="r", files=(FILE,), aliases=("n",), meta=META, run=TrainingRun(id="x", step=1))


def test_any_difference_makes_another_digest() -> None:
    changed = {
        "name": "other", "revision": "s", "files": (replace(FILE, etag="f"),), "prefix": "ema.", "aliases": (),
        "meta": replace(META, extra={"a": 2}), "run": TrainingRun(id="x", step=2), "arch": "timm/net", "named": True,
    }  # fmt: skip
    assert changed.keys() == {field.name for field in fields(Checkpoint)}
    digests = {DIGEST.of(replace(OFFER, **{name: value})) for name, value in changed.items()}  # type: ignore[arg-type]
    assert len(digests | {DIGEST.of(OFFER)}) == len(changed) + 1
    assert DIGEST.of(replace(OFFER)) == DIGEST.of(OFFER)


def test_what_decides_over_an_offer_counts() -> None:
    others = [
        replace(DIGEST, version="2"), replace(DIGEST, policy="all"), replace(DIGEST, licenses=("GPL-3.0",)),
        replace(DIGEST, license_policy=LicensePolicy(default="metadata")),
    ]  # fmt: skip
    assert len({digest.of(OFFER) for digest in [DIGEST, *others]}) == len(others) + 1
    assert replace(DIGEST, licenses=("MIT",)).of(OFFER) == DIGEST.of(OFFER)  # it is still asked for


def test_a_link_is_another_offer_than_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "net").write_bytes(b"")
    local = replace(OFFER, files=(replace(FILE, url=(tmp_path / "net").as_uri()),))
    before = DIGEST.of(local)
    (tmp_path / "net").unlink()
    (tmp_path / "net").symlink_to("file")
    assert DIGEST.of(local) != before


def test_what_is_skipped_has_a_digest() -> None:
    skip = Skipped(name="net", reason="gated \ud800", revision="r")
    assert DIGEST.of(skip) == DIGEST.of(replace(skip))
    assert len({DIGEST.of(skip), DIGEST.of(replace(skip, reason="x")), DIGEST.of(replace(skip, revision=None))}) == 3
