# SPDX-License-Identifier: Apache-2.0
"""What the vendor said last counts: the cache's, where evidence brought something older.

Whoever is attested also sends the endorsements, and could send those of before they were
revoked. So a revocation list, TCB info or QE identity that came with evidence only stands where
the verifier has none as new.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from accord.collateral import _amd, _intel
from accord.collateral._cache import CollateralCache
from accord.collateral._complete import cached_endorsements, hardware_of, with_endorsements
from accord.collateral._forms import recognise
from accord.collateral._keys import PCK_CRL, QE_IDENTITY, ROOT_CRL, TCB_INFO
from accord.collateral._pieces import Piece, certify
from accord.encoding import Digest
from accord.errors import (
    AccordError,
    CollateralMissingError,
    CollateralUnknownError,
    EvidenceMalformedError,
)
from accord.evidence import Certificate, Evidence, load_certificates
from accord.evidence.amd import parse_report, product_of_name
from accord.evidence.intel import signed_member
from accord.policy import Family

_Open = Callable[[Piece], dict[str, bytes]]
_CHAINS = ("tcb_info_issuer_chain", "qe_identity_issuer_chain", "pck_crl_issuer_chain")
_AMD_CERTIFICATES = ("vcek", "vlek", "ask", "asvk", "ark", "cert_chain")


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Evidence with the newest endorsements at hand.

    ``replaced`` has the keys of what it brought and the cache has newer; ``unconfirmed`` of
    what it brought and nobody here can say that there is nothing newer.
    """

    evidence: Evidence
    replaced: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One endorsement that can become outdated: its key, its name, and what is brought."""

    key: str
    name: str
    brought: bytes | None
    open: _Open


def refresh(
    evidence: Evidence,
    cache: CollateralCache,
    *,
    now: datetime,
    anchors: Collection[Digest],
    given: Collection[str] = (),
    kept: bool = False,
) -> Refreshed:
    """``evidence`` with what it lacks, or brought in an older version than ``cache`` has.

    ``given`` names endorsements that the verifier chose: those stay, and with ``kept`` all
    that evidence brought, as when a stored verdict is repeated. Only entries under one of
    ``anchors`` count, and only those valid at ``now`` displace anything. Parts of a machine
    are looked at in the same way. Raises ``CollateralMissingError``, ``CollateralCacheError``
    or ``EvidenceMalformedError``.
    """
    try:
        chosen = evidence.endorsements if kept else given
        found = _refresh(evidence, cache, now=now, anchors=anchors, given=chosen)
    except CollateralUnknownError as exc:  # bytes that are no evidence, not wrong files
        raise EvidenceMalformedError(what="report", detail=str(exc)) from exc
    parts, replaced, unconfirmed = {}, list(found.replaced), list(found.unconfirmed)
    for name, part in evidence.parts.items():
        try:
            chosen = part.endorsements if kept else ()
            fresh = _refresh(part, cache, now=now, anchors=anchors, given=chosen)
        except (CollateralMissingError, CollateralUnknownError, EvidenceMalformedError):
            fresh = Refreshed(part)  # verification will say what is wrong with it
        parts[name] = fresh.evidence
        replaced += fresh.replaced
        unconfirmed += fresh.unconfirmed
    whole = replace(found.evidence, parts=MappingProxyType(parts))
    return Refreshed(whole, tuple(replaced), tuple(unconfirmed))


def _refresh(
    evidence: Evidence,
    cache: CollateralCache,
    *,
    now: datetime,
    anchors: Collection[Digest],
    given: Collection[str] = (),
) -> Refreshed:
    family = hardware_of(evidence).family if evidence.family is Family.AZURE else evidence.family
    if family in {Family.SGX, Family.TDX}:
        wanted = _intel_wanted(evidence)
    else:
        stored = cached_endorsements(evidence, cache, now=now, anchors=anchors)
        brought = evidence.endorsements
        # Of which product a list is follows from the certificates, once they are all there.
        lacking = {k: v for k, v in stored.items() if k not in brought and k != "crl"}
        evidence = with_endorsements(evidence, lacking)
        if family is not Family.SNP:
            return Refreshed(evidence)
        wanted = _amd_wanted(evidence, brought=brought)
    pool = _certificates(evidence.endorsements, (*_CHAINS, *_AMD_CERTIFICATES))
    found, replaced, unconfirmed = dict[str, bytes](), list[str](), list[str]()
    for item in wanted:
        if item.name in given:
            continue
        piece = cache.find(item.key, now=now, anchors=anchors)
        if item.brought is None:
            if piece is not None:
                found |= item.open(piece)
            elif family is not Family.SNP:  # where a list is a choice of the policy's
                raise CollateralMissingError(
                    what=f"{item.key} in the collateral cache {cache.path}"
                )
        elif piece is None or not piece.not_before <= now <= piece.not_after:
            unconfirmed.append(item.key)
        elif _is_as_new(piece, item, pool, anchors):
            found |= item.open(piece)
            replaced.append(item.key)
    return Refreshed(with_endorsements(evidence, found), tuple(replaced), tuple(unconfirmed))


def _is_as_new(
    piece: Piece, item: _Wanted, pool: Sequence[Certificate], anchors: Collection[Digest]
) -> bool:
    """Whether the cache's is other than what was brought, and not older.

    What was brought says when it was made, but only what its vendor signed can be believed:
    anything that does not verify is older than everything.
    """
    try:
        own = certify(
            recognise(item.brought or b"", what=item.name), anchors=tuple(anchors), known=pool
        )
    except AccordError:
        return True
    return all(
        one.not_before <= piece.not_before and (one.key, one.data) != (piece.key, piece.data)
        for one in own
    )


def _certificates(
    endorsements: Mapping[str, bytes], names: Sequence[str]
) -> tuple[Certificate, ...]:
    """Every certificate that can be read of those at hand."""
    found: list[Certificate] = []
    for name in names:
        try:
            found += load_certificates(endorsements.get(name, b""), what=name)
        except AccordError:
            continue
    return tuple(found)


def _intel_wanted(evidence: Evidence) -> list[_Wanted]:
    """TCB info, QE identity, both revocation lists (Intel PCS API v4)."""
    platform = _intel.platform_of(
        hardware_of(evidence) if evidence.family is Family.AZURE else evidence
    )
    given = evidence.endorsements
    info, identity = (
        _statement(given, member, name)
        for member, name in (("tcbInfo", "tcb_info"), ("enclaveIdentity", "qe_identity"))
    )
    return [
        _Wanted(
            TCB_INFO.format(tee=platform.tee, fmspc=platform.fmspc),
            "tcb_info",
            info,
            lambda piece: _open_statement(piece, "tcbInfo", "tcb_info"),
        ),
        _Wanted(
            QE_IDENTITY.format(tee=platform.tee),
            "qe_identity",
            identity,
            lambda piece: _open_statement(piece, "enclaveIdentity", "qe_identity"),
        ),
        _Wanted(
            PCK_CRL.format(ca=platform.ca),
            "pck_crl",
            given.get("pck_crl"),
            lambda piece: {"pck_crl": piece.data, "pck_crl_issuer_chain": piece.chain},
        ),
        _Wanted(
            ROOT_CRL,
            "root_ca_crl",
            given.get("root_ca_crl"),
            lambda piece: {"root_ca_crl": piece.data},
        ),
    ]


def _statement(given: Mapping[str, bytes], member: str, name: str) -> bytes | None:
    """A statement of Intel's as its service writes it: the signed text and the signature."""
    text = given.get(name)
    signature = given.get(f"{name}_signature", b"").hex().encode()
    if text is None:
        return None
    return b'{"' + member.encode() + b'":' + text + b',"signature":"' + signature + b'"}'


def _open_statement(piece: Piece, member: str, name: str) -> dict[str, bytes]:
    text, signature = signed_member(piece.data.decode("utf-8", "replace"), member, what=piece.key)
    return {
        name: text.encode(),
        f"{name}_signature": signature,
        f"{name}_issuer_chain": piece.chain,
    }


def _amd_wanted(evidence: Evidence, *, brought: Mapping[str, bytes]) -> list[_Wanted]:
    """The revocation list of the root above the key's certificate, found as verification does."""
    inner = hardware_of(evidence) if evidence.family is Family.AZURE else evidence
    name = "vlek" if _amd.signed_by_vlek(parse_report(inner.blob)) else "vcek"
    by_subject: dict[bytes, Certificate] = {}
    for item in _certificates(evidence.endorsements, _AMD_CERTIFICATES):
        by_subject.setdefault(item.subject, item)
    found = _certificates(evidence.endorsements, [name])[:1]
    for _ in range(2):  # the authority, the root
        found = tuple(by_subject[item.issuer] for item in found if item.issuer in by_subject)
    products = (product_of_name(item.what.removeprefix("ARK-")) for item in found)
    return [
        _Wanted(_amd.crl_key(product), "crl", brought.get("crl"), lambda piece: {"crl": piece.data})
        for product in products
        if product is not None
    ]
