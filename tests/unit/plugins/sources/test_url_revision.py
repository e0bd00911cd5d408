"""Hashes in the names of files at URLs."""

from __future__ import annotations

import pytest

from filtercrawl_plugins.sources.shared.url_revision import hash_from_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://x.example/resnet18-f37072fd.pth", "f37072fd"),
        ("https://x.example/xception-43020ad28.pth", "43020ad28"),
        ("https://x.example/resnet18_fbgemm_16fa66dd.pth", "16fa66dd"),
        ("https://x.example/IN1K-vit.h.14-300e.pth.tar", None),
        ("https://x.example/net-abc.pth", None),
        ("https://x-f37072fd.example/net.pth", None),
        ("https://x.example/net.pth?v=-f37072fd.pth", None),
        (f"https://x.example/net-{'ab' * 32}.safetensors", "ab" * 32),
    ],
)
def test_the_hash_in_the_name_of_a_file(url: str, expected: str | None) -> None:
    assert hash_from_url(url) == expected
