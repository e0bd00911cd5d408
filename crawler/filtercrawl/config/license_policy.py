"""What may be published of a checkpoint under which licence, as `[license]` of the settings says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from filtercrawl.api.errors import UsageError
from filtercrawl.config.spdx import evaluate_expression, normalize_name

Policy = Literal["keep", "metadata", "drop"]
METADATA: Final = "metadata"
# From the strictest on.
POLICIES: Final[tuple[Policy, ...]] = ("drop", "metadata", "keep")


@dataclass(frozen=True, kw_only=True)
class LicensePolicy:
    """keep: everything; metadata: rows in `models`, `index` and `ledger`, no weights; drop: a row in `models`.

    default: of licences that no list names; unknown: of checkpoints whose licence nobody states, None as `default`.
    keep, metadata, drop: SPDX identifiers, to which also those with `-only` and `-or-later` belong.
    """

    default: Policy = "keep"
    unknown: Policy | None = None
    keep: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def decide(self, license_id: Any) -> Policy:
        """Return the policy of an SPDX expression, None for a licence that is unknown.

        Of several by choice (OR) the most permissive counts, of several at once (AND) the strictest.
        """
        if license_id is None:
            return self.unknown or self.default
        return POLICIES[evaluate_expression(str(license_id), self._of)]

    def _of(self, name: str) -> int:
        exact = [policy for policy in POLICIES if name.lower() in {word.lower() for word in getattr(self, policy)}]
        close = [
            policy for policy in POLICIES if normalize_name(name) in {word.lower() for word in getattr(self, policy)}
        ]
        return POLICIES.index((exact or close or [self.default])[0])

    def dropped(self, license_id: str | None) -> str | None:
        """Say why a checkpoint is left out; None where it is not."""
        return f"licence {license_id or 'unknown'}: the policy is drop" if self.decide(license_id) == "drop" else None

    @classmethod
    def of(cls, table: Mapping[str, Any], where: str) -> Self:
        """Take the table of the settings; raises UsageError, about `where`, for what it cannot hold."""
        if unknown := table.keys() - {"default", "unknown", *POLICIES}:
            known = "default, unknown, keep, metadata and drop"
            raise UsageError(f"{where} has the unknown key {min(unknown)!r}; known are {known}")
        words = {key: table[key] for key in ("default", "unknown") if key in table}
        for key, word in words.items():
            if word not in POLICIES:
                raise UsageError(f"{where} {key} is one of keep, metadata and drop, not {word!r}")
        seen: set[str] = set()
        for key in POLICIES:
            names = table.get(key, [])
            if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
                raise UsageError(f"{where} {key} is a list of SPDX licence ids")
            if twice := seen & {name.lower() for name in names}:
                raise UsageError(f"{where} names {min(twice)!r} in more than one list")
            seen |= {name.lower() for name in names}
            words[key] = tuple(names)
        return cls(**words)
