"""The licence that a distribution's METADATA states, as an SPDX expression; null where it is not clear."""

from __future__ import annotations

from email.message import Message

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

_PREFIX = "License :: OSI Approved :: "

# Classifiers that mean exactly one SPDX licence. Those that name a family ("BSD License", "Apache Software
# License", "GNU General Public License v3 (GPLv3)": only, or later?) are left out on purpose.
CLASSIFIERS = {
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

# A longer `License` field is the text of a licence, not its name.
_SHORT = 100


def stated_license(metadata: Message) -> tuple[str | None, str | None]:
    """Return the SPDX expression and the line of METADATA it was read from, or (None, None).

    `License-Expression` counts first, then the classifiers if they all mean one licence, then a `License`
    field that is an SPDX expression as it stands.
    """
    if (field := metadata.get("License-Expression")) is not None:
        return _evidence("License-Expression", str(field), spdx(str(field)))
    named = [str(line) for line in metadata.get_all("Classifier", []) if str(line).startswith("License :: ")]
    # The heading alone says that there is a licence, not which.
    named = [line for line in named if line != _PREFIX.removesuffix(" :: ")]
    meant = {CLASSIFIERS.get(line.removeprefix(_PREFIX)) for line in named}
    if len(meant) == 1 and None not in meant:
        return _evidence("Classifier", named[0], meant.pop())
    if len(meant) > 1:
        return None, None
    field = str(metadata.get("License", ""))
    return _evidence("License", field, spdx(field) if len(field) <= _SHORT else None)


def spdx(text: str) -> str | None:
    """Return the expression in its canonical spelling, or None if it is no SPDX licence expression."""
    try:
        return str(canonicalize_license_expression(text)) or None
    except InvalidLicenseExpression:
        return None


def _evidence(field: str, value: str, expression: str | None) -> tuple[str | None, str | None]:
    return (expression, f"METADATA {field}: {value.strip()}") if expression else (None, None)
