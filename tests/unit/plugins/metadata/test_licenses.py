"""SPDX expressions from the core metadata of Python distributions."""

from __future__ import annotations

from email.message import Message

import pytest

from filtercrawl.api.licenses import to_spdx
from filtercrawl_plugins.metadata.licenses import license_from_metadata


def metadata(*fields: tuple[str, str]) -> Message:
    message = Message()
    for name, value in fields:
        message[name] = value
    return message


MIT = ("Classifier", "License :: OSI Approved :: MIT License")
BSD = ("Classifier", "License :: OSI Approved :: BSD License")
HEADING = ("Classifier", "License :: OSI Approved")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("License-Expression", "mit or isc"), BSD], ("MIT OR ISC", "METADATA License-Expression: mit or isc")),
        ([("License-Expression", "not a license"), MIT], (None, None)),
        ([HEADING, MIT], ("MIT", "METADATA Classifier: License :: OSI Approved :: MIT License")),
        ([MIT, BSD], (None, None)),
        ([BSD], (None, None)),
        ([BSD, ("License", "BSD-3-Clause")], ("BSD-3-Clause", "METADATA License: BSD-3-Clause")),
        ([HEADING, ("License", "MIT")], ("MIT", "METADATA License: MIT")),
        ([("License", "MIT\n" + "x" * 200)], (None, None)),
        ([], (None, None)),
    ],
)  # fmt: skip
def test_precedence_of_fields(fields: list[tuple[str, str]], expected: tuple[str | None, str | None]) -> None:
    assert license_from_metadata(metadata(*fields)) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("mit", "MIT"), ("GPL-3.0-or-later", "GPL-3.0-or-later"), ("BSD", None), ("", None)]
)
def test_to_spdx(text: str, expected: str | None) -> None:
    assert to_spdx(text) == expected
