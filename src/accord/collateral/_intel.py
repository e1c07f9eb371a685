# SPDX-License-Identifier: Apache-2.0
"""Intel's endorsements: from files, from the cache, and which of them a platform needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from accord.collateral._cache import CollateralCache
from accord.collateral._forms import Form, Item
from accord.collateral._keys import PCK_CRL, QE_IDENTITY, ROOT_CRL, TCB_INFO
from accord.collateral._pieces import Piece
from accord.encoding import Digest
from accord.errors import CollateralMissingError, CollateralUnknownError, EvidenceMalformedError
from accord.evidence import Evidence, load_certificates
from accord.evidence.intel import Collateral, Quote, parse_pck_extension, parse_sgx, parse_tdx
from accord.policy import Family

PCK_CAS = {"Intel SGX PCK Platform CA": "platform", "Intel SGX PCK Processor CA": "processor"}
_PCK = "Intel SGX PCK Certificate"
_CERTIFIED_BY_CHAIN = 5  # PCK chain in PEM (DCAP quoting library API, appendix A.3.9)
_EXTENSION = "1.2.840.113741.1.13.1"


@dataclass(frozen=True, slots=True)
class Platform:
    """Which platform a quote says it is from; nothing is verified."""

    tee: str
    fmspc: str
    ca: str

    @property
    def keys(self) -> tuple[str, ...]:
        """TCB info, QE identity, revocation lists of PCK CA and root."""
        return (
            TCB_INFO.format(tee=self.tee, fmspc=self.fmspc),
            QE_IDENTITY.format(tee=self.tee),
            PCK_CRL.format(ca=self.ca),
            ROOT_CRL,
        )


def parse_quote(evidence: Evidence) -> Quote:
    """The quote in SGX or TDX evidence. Raises ``EvidenceMalformedError``."""
    return parse_sgx(evidence) if evidence.family is Family.SGX else parse_tdx(evidence)


def platform_of(evidence: Evidence) -> Platform:
    """The platform in the PCK certificate of ``evidence``. Raises ``EvidenceMalformedError``.

    The chain in the quote goes first, as it does in verification: one brought beside it could
    name another platform, about which nothing bad is known.
    """
    quote = parse_quote(evidence)
    if quote.certification_type == _CERTIFIED_BY_CHAIN:
        pem = quote.certification_data
    else:
        pem = evidence.endorsements.get("pck_certificate_chain", b"")
    if not pem:
        raise EvidenceMalformedError(what="quote", detail="it has no PCK certificate chain")
    chain = load_certificates(pem, what="PCK certificate chain")
    for leaf in chain:
        if leaf.what == _PCK and _EXTENSION in leaf.extensions:
            platform = parse_pck_extension(leaf.extensions[_EXTENSION])
            # By the leaf's own word: another CA's certificate beside it must not name the list.
            issuers = [
                PCK_CAS[item.what]
                for item in chain
                if item.what in PCK_CAS and item.subject == leaf.issuer
            ]
            if issuers:
                return Platform(evidence.family.value, platform.fmspc.hex(), issuers[0])
    raise EvidenceMalformedError(what="PCK certificate chain", detail="it names no platform")


def name_items(_: Evidence, items: Sequence[Item]) -> dict[str, bytes]:
    """A bundle as it is; separate files put together; certificates alone are the PCK chain."""
    bundles = [item for item in items if item.form is Form.BUNDLE]
    parts = [item for item in items if item.form is not Form.BUNDLE]
    named = {}
    if len(bundles) > 1:
        raise CollateralUnknownError(what=bundles[1].what, detail="a second bundle")
    for bundle in bundles:
        named = Collateral.from_bytes(bundle.data).to_endorsements()
    if parts and all(item.form is Form.CERTIFICATES for item in parts):
        pem = b"".join(item.data if item.data[:1] == b"-" else _pem(item) for item in parts)
        return named | {"pck_certificate_chain": pem}
    if parts:
        files = {f"{index}: {item.what}": item.data for index, item in enumerate(parts)}
        named |= Collateral.from_pcs_parts(files).to_endorsements()
    return named


def _pem(item: Item) -> bytes:
    from accord.collateral._pieces import to_pem

    return to_pem(item.certificates)


def find(
    evidence: Evidence,
    cache: CollateralCache,
    *,
    now: datetime,
    anchors: Collection[Digest] | None = None,
) -> dict[str, bytes]:
    """See `cached_endorsements`."""
    platform = platform_of(evidence)
    pieces: list[Piece] = []
    for key in platform.keys:
        piece = cache.find(key, now=now, anchors=anchors)
        if piece is None:
            raise CollateralMissingError(what=f"{key} in the collateral cache {cache.path}")
        pieces.append(piece)
    files = {piece.key: piece.data for piece in pieces}
    files |= {f"signers of {piece.key}": piece.chain for piece in pieces}
    return Collateral.from_pcs_parts(files).to_endorsements()
