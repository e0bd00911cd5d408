"""SPDX expressions from the licenses that zoos and Python distributions state; null where unclear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filtercrawl.api.licenses import to_spdx

if TYPE_CHECKING:
    from email.message import Message

_OSI_PREFIX: Final = "License :: OSI Approved :: "

# Trove classifiers that mean exactly one SPDX license. Those that name a family ("BSD License", "Apache Software
# License") or leave "only" and "or later" open ("GNU General Public License v3 (GPLv3)") are left out on purpose.
_SPDX_BY_CLASSIFIER: Final = {
    "Blue Oak Model License (BlueOak-1.0.0)": "BlueOak-1.0.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.1 (EUPL 1.1)": "EUPL-1.1",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Mulan Permissive Software License v2 (MulanPSL-2.0)": "MulanPSL-2.0",
    "SIL Open Font License 1.1 (OFL-1.1)": "OFL-1.1",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
}

# Licenses that a zoo states by URL; torchvision's README says which one this is.
_SPDX_BY_URL: Final = {"https://github.com/facebookresearch/SWAG/blob/main/LICENSE": "CC-BY-NC-4.0"}

# A longer `License` field contains the text of a license instead of its name.
_MAX_LICENSE_FIELD: Final = 100


def spdx_with_evidence(stated: str | None, field: str) -> tuple[str | None, str | None]:
    """Return the SPDX expression and the evidence for a license as a zoo states it.

    Args:
        stated: The zoo's own word: an SPDX id, `gemma`, a URL; None if it states nothing.
        field: Where it was read, for the evidence: `timm cfg license`.

    Returns:
        (expression, evidence). The expression is None for a word that is no SPDX license; the evidence still quotes
        it. (None, None) if nothing printable is stated.
    """
    if not stated or not stated.isprintable():
        return None, None
    return _SPDX_BY_URL.get(stated) or to_spdx(stated), f"{field}: {stated}"


def license_from_metadata(metadata: Message) -> tuple[str | None, str | None]:
    """Return the SPDX expression of a Python distribution and the line of METADATA that states it.

    Precedence: `License-Expression` (PEP 639), then the license classifiers if they all mean one license, then a
    `License` field that is an SPDX expression as it stands.

    Args:
        metadata: Core metadata of the distribution.

    Returns:
        (expression, evidence), or (None, None) if no single license is stated.
    """
    if (expression := metadata.get("License-Expression")) is not None:
        return _with_evidence("License-Expression", str(expression), to_spdx(str(expression)))
    classifiers = [str(line) for line in metadata.get_all("Classifier", []) if str(line).startswith("License :: ")]
    # "License :: OSI Approved" alone says that there is a license, not which one.
    classifiers = [line for line in classifiers if line != _OSI_PREFIX.removesuffix(" :: ")]
    meanings = {_SPDX_BY_CLASSIFIER.get(line.removeprefix(_OSI_PREFIX)) for line in classifiers}
    if len(meanings) == 1 and None not in meanings:
        return _with_evidence("Classifier", classifiers[0], meanings.pop())
    if len(meanings) > 1:
        return None, None
    text = str(metadata.get("License", ""))
    return _with_evidence("License", text, to_spdx(text) if len(text) <= _MAX_LICENSE_FIELD else None)


def _with_evidence(field: str, value: str, expression: str | None) -> tuple[str | None, str | None]:
    return (expression, f"METADATA {field}: {value.strip()}") if expression else (None, None)
