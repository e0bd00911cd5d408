"""A digest of what is offered and how it is judged: where it is as in the last run, so is what becomes of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from filtercrawl.api.checkpoint import Checkpoint, Offer
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.pipeline.model_rows import is_linked

_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class OfferDigest:
    """Makes the digests of one run.

    Attributes:
        version: Version of filtercrawl; another one may make other rows of the same offer.
        policy: Which kernel sizes are kept.
        licenses: Only checkpoints with one of these licenses are crawled; empty for any license.
        license_policy: What may be kept of a checkpoint under which license.
        refuse_code: Whether files that name code are not to be read.
    """

    version: str
    policy: KernelPolicy = "spatial"
    licenses: tuple[str, ...] = ()
    license_policy: LicensePolicy = field(default_factory=LicensePolicy)
    refuse_code: bool = False

    def of(self, offer: Offer) -> bytes:
        """Return the digest of an offer, of which a difference in any field makes another one."""
        judged: tuple[object, ...] = (self.version, offer)
        if isinstance(offer, Checkpoint):
            license_id = offer.meta.license
            is_asked_for = not self.licenses or license_id in self.licenses
            judged += (
                self.policy,
                self.refuse_code,
                self.license_policy.decide(license_id),
                is_asked_for,
                is_linked(offer),
            )
        return hashlib.blake2b(repr(judged).encode("utf-8", "backslashreplace"), digest_size=_BYTES).digest()
