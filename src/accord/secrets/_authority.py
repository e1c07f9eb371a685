# SPDX-License-Identifier: Apache-2.0
"""The certificate authority of a policy: mutual TLS between services is mutual attestation.

The trust service issues a certificate only together with a release, so only to a key that is
bound to evidence. Whoever verifies it against the policy's authority knows without looking at
evidence that the peer runs a service of that policy, in an environment that the policy accepts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from accord.encoding import Digest, format_time
from accord.errors import AuthorityExpiredError, MalformedError
from accord.policy import Endpoint, SecretKind
from accord.secrets._certificates import (
    CLOCK_SKEW,
    Issuer,
    distinguished_name,
    issue_ca,
    issue_leaf,
)
from accord.secrets._keys import new_key, private_der, read_public
from accord.secrets._value import SecretValue

AUTHORITY_LIFETIME = timedelta(days=3650)
MAX_IDENTITY_LIFETIME = timedelta(hours=24)
"""There is no revocation: a stopped or removed service is believed for this long at most."""


def trust_domain(board: Digest) -> str:
    """The SPIFFE trust domain of a board: its digest in hex."""
    return board.removeprefix("sha256:")


def spiffe_id(board: Digest, policy: str, service: str) -> str:
    """``spiffe://BOARD/POLICY/SERVICE``; the last name is the service, all before it the policy."""
    return f"spiffe://{trust_domain(board)}/{policy}/{service}"


@dataclass(frozen=True, slots=True)
class PolicyAuthority:
    """A self-signed authority for names of its board alone, and for no further authorities."""

    board: Digest
    policy: str
    value: SecretValue
    """What the store keeps; services get `SecretValue.public_only` of it, never the key."""

    _issuer: Issuer = field(repr=False, compare=False)

    @classmethod
    def create(cls, *, board: Digest, policy: str, now: datetime) -> PolicyAuthority:
        """A new one, with a key that nobody else ever gets."""
        domain = x509.UniformResourceIdentifier(trust_domain(board))
        issuer = issue_ca(
            subject=distinguished_name("accord policy authority", unit=policy[-64:]),
            key=new_key(None),
            issuer=None,
            now=now,
            lifetime=AUTHORITY_LIFETIME,
            path_length=0,
            constraints=x509.NameConstraints(permitted_subtrees=[domain], excluded_subtrees=None),
            # A signing certificate names the trust domain without a path (X509-SVID, 2 and 4.1).
            uri=f"spiffe://{trust_domain(board)}",
        )
        value = SecretValue(SecretKind.X509_CA, private_der(issuer.key), issuer.chain_der)
        return cls(board, policy, value, issuer)

    @classmethod
    def from_bytes(cls, data: bytes, *, board: Digest, policy: str) -> PolicyAuthority:
        """What `value` was stored as; that it was made for this policy is *not* checked.

        Raises ``MalformedError`` and what `SecretValue.from_bytes` raises.
        """
        what = f"authority of {policy}"
        value = SecretValue.from_bytes(data, what=what)
        if value.kind is not SecretKind.X509_CA or not value.private:
            raise MalformedError(what=what, detail="not an authority with its key")
        issuer = Issuer(value.private_key(what), tuple(value.certificates(what)))
        return cls(board, policy, value, issuer)

    def issue(
        self, spki: bytes, *, service: str, now: datetime, lifetime: timedelta
    ) -> tuple[bytes, ...]:
        """The chain of a certificate for the key in ``spki``, as DER, the authority's own last.

        Whoever asks must have proved by evidence that the key is its own: *not* checked here.
        It ends after ``lifetime``, and its whole validity is at most `MAX_IDENTITY_LIFETIME`.
        Raises ``AuthorityExpiredError``, or ``MalformedError`` for a key of an unknown kind.
        """
        own = self._issuer.chain[0]
        if not own.not_valid_before_utc <= now < own.not_valid_after_utc:
            raise AuthorityExpiredError(
                policy=self.policy,
                start=format_time(own.not_valid_before_utc),
                end=format_time(own.not_valid_after_utc),
                now=format_time(now),
            )
        return issue_leaf(
            subject=distinguished_name(service),
            public=read_public(spki, what="key of the service"),
            issuer=self._issuer,
            now=now,
            lifetime=min(lifetime, MAX_IDENTITY_LIFETIME - CLOCK_SKEW),
            endpoints=(Endpoint.SERVER, Endpoint.CLIENT),
            names=[f"uri:{spiffe_id(self.board, self.policy, service)}"],
        )
