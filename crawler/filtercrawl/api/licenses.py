"""License expressions as SPDX spells them."""

from __future__ import annotations

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression


def to_spdx(text: str | None) -> str | None:
    """Return an SPDX license expression in its canonical spelling, None if the text is no valid expression.

    Args:
        text: A license as a zoo states it; None if it states none.
    """
    try:
        return str(canonicalize_license_expression(text)) or None if text else None
    except InvalidLicenseExpression:
        return None
