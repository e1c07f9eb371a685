# SPDX-License-Identifier: Apache-2.0
"""Chains of certificates up to a pinned root, and revocation lists (RFC 5280, 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise

from accord.encoding import Digest, format_time
from accord.errors import (
    AnchorUnknownError,
    CertificateRevokedError,
    ChainInvalidError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
)
from accord.evidence._certificate import Certificate, read_time, signed_parts
from accord.evidence._claims import Endorser
from accord.evidence._der import (
    BOOLEAN,
    GENERALIZED_TIME,
    INTEGER,
    SEQUENCE,
    UTC_TIME,
    Element,
    dotted,
    elements,
    sequence,
)
from accord.evidence._signature import verify_signature

MAX_CHAIN = 10

MAX_LIST_BYTES = 256 << 10
"""Largest revocation list: 35 times the largest recorded one."""

_CACHE = 64
_CRL_VERSION_2 = bytes.fromhex("020101")
_CRL_EXTENSIONS = 0xA0
_CRL_FIELDS = 7
_UNDERSTOOD = frozenset({"2.5.29.15", "2.5.29.19", "2.5.29.37"})
"""Critical extensions that a chain may carry: key usage, basic constraints, extended usage."""


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A revocation list whose signature was verified; its period was not."""

    what: str
    issuer: str
    revoked: frozenset[int]
    not_before: datetime
    not_after: datetime


def verify_chain(
    chain: Sequence[Certificate],
    *,
    anchors: Sequence[Digest],
    what: str,
    understood: frozenset[str] = frozenset(),
) -> Certificate:
    """Verifies ``chain``, leaf first, and returns its root, whose digest is in ``anchors``.

    Names, signatures, CA flags, key usage and path lengths are verified, and critical
    extensions beyond ``understood`` refused. Periods and revocation are *not* checked, nor
    which names the certificates have.

    Raises ``ChainInvalidError``, ``AnchorUnknownError`` or ``EvidenceMalformedError``.
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise ChainInvalidError(what=what, detail=f"it has {len(chain)} certificates")
    for certificate in chain:
        unknown = certificate.critical - _UNDERSTOOD - understood
        if unknown:
            raise ChainInvalidError(
                what=what, detail=f"critical extension {min(unknown)} is not understood"
            )
    # Each is issued by the next, which may issue it (RFC 5280, 6.1). The root's signature of
    # itself would prove nothing: its bytes are pinned.
    for depth, (certificate, issuer) in enumerate(pairwise(chain)):
        _check_issued(certificate, issuer, below=depth, what=what)
    root = chain[-1]
    if root.digest not in anchors:
        expected = ", ".join(anchors) or "none at all"
        raise AnchorUnknownError(what=what, actual=root.digest, expected=expected)
    return root


def _check_issued(certificate: Certificate, issuer: Certificate, *, below: int, what: str) -> None:
    """``issuer`` is a CA that may stand above ``below`` other CAs, and signed ``certificate``."""
    if certificate.issuer != issuer.subject:
        raise ChainInvalidError(what=what, detail=f"{certificate.what} names another issuer")
    if not issuer.is_ca or not issuer.signs_certificates:
        raise ChainInvalidError(what=what, detail=f"{issuer.what} may not issue certificates")
    if issuer.path_length is not None and issuer.path_length < below:
        raise ChainInvalidError(what=what, detail=f"it is too long for {issuer.what}")
    try:
        _verify_issued(certificate, issuer)
    except EvidenceSignatureError as exc:
        raise ChainInvalidError(
            what=what, detail=f"{certificate.what} is not signed by {issuer.what}"
        ) from exc


@lru_cache(maxsize=_CACHE)
def _verify_issued(certificate: Certificate, issuer: Certificate) -> None:
    verify_signature(
        issuer.key,
        certificate.algorithm,
        certificate.signature,
        certificate.tbs,
        what=certificate.what,
        by=issuer.what,
    )


def check_period(what: str, not_before: datetime, not_after: datetime, now: datetime) -> None:
    """Raises ``EvidenceExpiredError`` unless ``now`` lies within, both ends included."""
    if not not_before <= now <= not_after:
        raise EvidenceExpiredError(
            what=what,
            not_before=format_time(not_before),
            not_after=format_time(not_after),
            now=format_time(now),
        )


def check_chain_period(chain: Sequence[Certificate], now: datetime) -> None:
    """Raises ``EvidenceExpiredError`` where one of ``chain`` is not valid at ``now``."""
    for certificate in chain:
        check_period(certificate.what, certificate.not_before, certificate.not_after, now)


def chain_expires(chain: Sequence[Certificate]) -> datetime:
    """The last second at which all of ``chain`` is valid."""
    return min(certificate.not_after for certificate in chain)


def endorsers(chain: Sequence[Certificate]) -> tuple[Endorser, ...]:
    """``chain`` as claims show it."""
    return tuple(
        Endorser(item.what, item.digest, item.not_before, item.not_after) for item in chain
    )


def check_not_revoked(certificate: Certificate, revocations: RevocationList) -> None:
    """Raises ``CertificateRevokedError``. That the list is its issuer's is the caller's part."""
    if certificate.serial in revocations.revoked:
        raise CertificateRevokedError(
            what=certificate.what, serial=f"{certificate.serial:x}", issuer=revocations.issuer
        )


@lru_cache(maxsize=_CACHE)
def load_revocation_list(der: bytes, issuer: Certificate) -> RevocationList:
    """The list in ``der``, if ``issuer`` signed it; its period is *not* checked.

    Its entries are only read once its signature is verified: they can be many. Raises
    ``EvidenceMalformedError`` or ``EvidenceSignatureError``.
    """
    what = f"revocation list of {issuer.what}"
    if len(der) > MAX_LIST_BYTES:
        raise EvidenceMalformedError(what=what, detail=f"larger than {MAX_LIST_BYTES} bytes")
    tbs, algorithm, signature = signed_parts(der, what)
    # RFC 5280, 5.1: version, signature, issuer, this update, next update, revoked, extensions.
    fields = elements(tbs.value, what=what, most=_CRL_FIELDS)
    tags = [item.tag for item in fields]
    times = {UTC_TIME, GENERALIZED_TIME}
    if (
        tags[:3] != [INTEGER, SEQUENCE, SEQUENCE]
        or fields[0].raw != _CRL_VERSION_2
        or fields[1].raw != algorithm.raw
        or not times.issuperset(tags[3:4])
    ):
        raise EvidenceMalformedError(what=what, detail="not an X.509 v2 revocation list")
    if not times.issuperset(tags[4:5]) or len(tags) < 5:  # noqa: PLR2004 - next update
        raise EvidenceMalformedError(what=what, detail="it never expires")
    # RFC 5280, 6.3.3 (b) and (f): its issuer's name, key usage and signature.
    if fields[2].raw != issuer.subject or not issuer.signs_lists:
        raise EvidenceSignatureError(what=what, expected=issuer.what)
    verify_signature(issuer.key, algorithm.raw, signature, tbs.raw, what=what, by=issuer.what)
    return RevocationList(
        what=what,
        issuer=issuer.what,
        revoked=_revoked(fields[5:], what),
        not_before=read_time(fields[3], what),
        not_after=read_time(fields[4], what),
    )


def _revoked(rest: list[Element], what: str) -> frozenset[int]:
    """The serial numbers on the list; a critical extension makes it not the whole list."""
    revoked = set[int]()
    if rest and rest[0].tag == SEQUENCE:
        for entry in elements(rest[0].value, what=what):
            parts = sequence(entry.raw, what=what)
            if len(parts) < 2 or parts[0].tag != INTEGER:  # noqa: PLR2004 - number and date
                raise EvidenceMalformedError(what=what, detail="an entry is malformed")
            revoked.add(int.from_bytes(parts[0].value, "big", signed=True))
            _check_extensions(parts[2].raw if len(parts) > 2 else None, what)  # noqa: PLR2004
        rest = rest[1:]
    if len(rest) > 1 or any(item.tag != _CRL_EXTENSIONS for item in rest):
        raise EvidenceMalformedError(what=what, detail="unknown fields")
    _check_extensions(rest[0].value if rest else None, what)
    return frozenset(revoked)


def _check_extensions(value: bytes | None, what: str) -> None:
    for extension in [] if value is None else sequence(value, what=what):
        parts = sequence(extension.raw, what=what)
        if len(parts) > 2 and parts[1].tag == BOOLEAN and parts[1].value != b"\0":  # noqa: PLR2004
            raise EvidenceMalformedError(
                what=what,
                detail=f"critical extension {dotted(parts[0].value)} is not understood",
            )
