"""What is kept of a checkpoint under which license: the table `[license]` of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from filtercrawl.config.fields import Setting, ValueType
from filtercrawl.config.spdx import evaluate_expression, normalize_name

Policy = Literal["keep", "metadata", "drop"]
METADATA: Final = "metadata"
# From the strictest to the most permissive.
POLICIES: Final[tuple[Policy, ...]] = ("drop", "metadata", "keep")


def _parse_license_ids(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise TypeError(value)
    return tuple(value)


LicenseIds = Annotated[
    tuple[str, ...],
    ValueType(expected="a list of SPDX license ids", metavar="[SPDX, ...]", parse=_parse_license_ids, show=", ".join),
]


@dataclass(frozen=True, kw_only=True)
class LicensePolicy:
    """The table `[license]`: for each license one of three policies.

    `keep` keeps everything; `metadata` keeps rows in `models`, `index` and `ledger`, and no weights; `drop` keeps a row
    in `models`. An SPDX identifier in a list also means those with `-only` and `-or-later`.
    """

    default: Annotated[Policy, Setting("The policy for licenses that no list names.")] = "keep"
    unknown: Annotated[
        Policy | None,
        Setting("The policy for checkpoints whose license nobody states.", default_text="that of default"),
    ] = None
    keep: Annotated[LicenseIds, Setting("Licenses under which everything is kept.")] = ()
    metadata: Annotated[LicenseIds, Setting("Licenses under which everything but weights is kept.")] = ()
    drop: Annotated[LicenseIds, Setting("Licenses under which only a row in `models` is kept.")] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for policy in POLICIES:
            names = {name.lower() for name in getattr(self, policy)}
            if twice := seen & names:
                raise ValueError(f"names {min(twice)!r} in more than one list")
            seen |= names

    def decide(self, license_id: Any) -> Policy:
        """Return the policy for an SPDX expression; None is a license that is unknown.

        Of licenses to choose from (OR) the most permissive policy counts, of licenses that all apply (AND) the
        strictest.
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
        """Return why a checkpoint is left out; None where it is not."""
        return f"license {license_id or 'unknown'}: the policy is drop" if self.decide(license_id) == "drop" else None
