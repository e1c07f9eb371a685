# SPDX-License-Identifier: Apache-2.0
"""Gives evidence the endorsements it lacks: from files that were named, else from the cache."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from accord.collateral import _amd, _intel, _nvidia
from accord.collateral._cache import CollateralCache
from accord.collateral._forms import Form, Item
from accord.collateral._pieces import to_pem
from accord.encoding import Digest
from accord.errors import CollateralMissingError, CollateralUnknownError, EvidenceMalformedError
from accord.evidence import Certificate, Evidence, load_certificates
from accord.evidence.amd import parse_report
from accord.evidence.azure import parse_hcl_report
from accord.policy import Family

_Namer = Callable[[Evidence, Sequence[Item]], dict[str, bytes]]


def name_items(evidence: Evidence, items: Sequence[Item]) -> Mapping[str, bytes]:
    """``items`` under the names that the family of ``evidence`` has for them, nothing verified.

    Raises ``CollateralUnknownError`` for what the family has no name for, and what the reader
    of Intel's files raises.
    """
    if not items:
        return MappingProxyType({})
    namer = _NAMERS.get(evidence.family)
    if namer is None:
        raise _unnamed(items[0], evidence.family)
    return MappingProxyType(namer(evidence, items))


def cached_endorsements(
    evidence: Evidence,
    cache: CollateralCache,
    *,
    now: datetime,
    anchors: Collection[Digest] | None = None,
) -> Mapping[str, bytes]:
    """What ``cache`` has for the platform of ``evidence``, the newest that is valid at ``now``.

    Only entries under one of ``anchors``, where they are given; see `refresh` for evidence
    that brings endorsements itself. Empty for families whose evidence carries all that it
    needs. Raises ``CollateralMissingError``, ``CollateralCacheError`` or
    ``EvidenceMalformedError``.
    """
    finder = _FINDERS.get(evidence.family)
    return MappingProxyType(
        {} if finder is None else finder(evidence, cache, now=now, anchors=anchors)
    )


def with_endorsements(evidence: Evidence, found: Mapping[str, bytes]) -> Evidence:
    """``evidence`` with ``found`` beside, or instead of, what it brought itself."""
    return replace(evidence, endorsements=MappingProxyType({**evidence.endorsements, **found}))


def _unnamed(item: Item, family: Family) -> CollateralUnknownError:
    return CollateralUnknownError(
        what=item.what,
        detail=f"{item.form} is not among what {family} evidence needs (a root to trust is "
        "given with --anchor)",
    )


def _snp(_: Evidence, items: Sequence[Item]) -> dict[str, bytes]:
    named: dict[str, bytes] = {}
    authorities = []
    for item in items:
        if item.form is Form.REVOCATIONS:
            named["crl"] = item.data
        elif item.form is not Form.CERTIFICATES:
            raise _unnamed(item, Family.SNP)
        for certificate in item.certificates:
            kind = {"SEV-VCEK": "vcek", "SEV-VLEK": "vlek"}.get(certificate.what)
            if kind is None:
                authorities.append(certificate)
            else:
                named[kind] = certificate.der
    return named | ({"cert_chain": to_pem(authorities)} if authorities else {})


def _find_snp(
    evidence: Evidence,
    cache: CollateralCache,
    *,
    now: datetime,
    anchors: Collection[Digest] | None = None,
) -> dict[str, bytes]:
    """The certificate of the report's key where the host gave none, and those above it."""
    report = parse_report(evidence.blob)
    vlek = _amd.signed_by_vlek(report)
    name = "vlek" if vlek else "vcek"
    for product in _amd.products(report):
        keys = {
            name: _amd.leaf_key(report, product),
            "cert_chain": _amd.chain_key(product, vlek=vlek),
            "crl": _amd.crl_key(product),
        }
        pieces = {item: cache.find(key, now=now, anchors=anchors) for item, key in keys.items()}
        found = {item: piece.data for item, piece in pieces.items() if piece is not None}
        given = evidence.endorsements.keys()
        if name in {*given, *found} and {"cert_chain", "ark"} & {*given, *found}:
            return found
    wanted = _amd.leaf_key(report, _amd.products(report)[0])
    raise CollateralMissingError(what=f"{wanted}, or its chain, in the cache {cache.path}")


def _nvidia_names(evidence: Evidence, items: Sequence[Item]) -> dict[str, bytes]:
    """Five certificates are a device's; one is the root of manifests."""
    named: dict[str, bytes] = {}
    manifests = []
    for item in items:
        if item.form is Form.MANIFEST:
            manifests.append(item)
        elif item.form is Form.CERTIFICATES:
            name = _nvidia.ROOT if len(item.certificates) == 1 else _nvidia.CHAIN
            named[name] = to_pem(item.certificates)
        else:
            raise _unnamed(item, evidence.family)
    for item in manifests:
        named[_nvidia.manifest_name(item.data, evidence, what=item.what)] = item.data
    return named


def _find_nvidia(
    evidence: Evidence,
    cache: CollateralCache,
    *,
    now: datetime,
    anchors: Collection[Digest] | None = None,
) -> dict[str, bytes]:
    """The manifests for driver and VBIOS, and the root that the cache has for them."""
    found: dict[str, bytes] = {}
    for name, key in _nvidia.device_of(evidence).keys.items():
        piece = cache.find(key, now=now, anchors=anchors)
        if piece is not None and name not in evidence.endorsements:
            found[name] = piece.data
            found[_nvidia.ROOT] = to_pem(load_certificates(piece.chain, what=key)[-1:])
    return found


def _certified_key(leaf: str, above: str, key: str | None = None) -> _Namer:
    """For families whose key has a certificate, or stands for itself."""

    def name(evidence: Evidence, items: Sequence[Item]) -> dict[str, bytes]:
        named: dict[str, bytes] = {}
        authorities: list[Certificate] = []
        for item in items:
            if item.form is Form.KEY and key is not None:
                named[key] = item.data
            elif item.form is Form.CERTIFICATES:
                authorities += item.certificates
            else:
                raise _unnamed(item, evidence.family)
        issuers = {c.issuer for c in authorities}
        leaves = [c for c in authorities if c.subject not in issuers]
        if leaves:
            named[leaf] = leaves[0].der
            rest = [c for c in authorities if c is not leaves[0]]
            named |= {above: to_pem(rest)} if rest else {}
        return named

    return name


def hardware_of(evidence: Evidence) -> Evidence:
    """What an Azure VM's paravisor runs on, as evidence of its own family.

    Raises ``EvidenceMalformedError``.
    """
    report = parse_hcl_report(evidence.blob)
    given = evidence.endorsements
    if report.hardware is Family.SNP:
        return Evidence(Family.SNP, report.hardware_report, given)
    if "td_quote" not in evidence.aux:
        raise EvidenceMalformedError(
            what="TDREPORT",
            detail="it proves nothing away from its CPU: the attachment td_quote is missing "
            "(--aux td_quote=FILE)",
        )
    return Evidence(Family.TDX, evidence.aux["td_quote"], given)


def _azure_names(evidence: Evidence, items: Sequence[Item]) -> dict[str, bytes]:
    inner = hardware_of(evidence)
    return _NAMERS[inner.family](inner, items)


def _find_azure(
    evidence: Evidence,
    cache: CollateralCache,
    *,
    now: datetime,
    anchors: Collection[Digest] | None = None,
) -> dict[str, bytes]:
    inner = hardware_of(evidence)
    return (
        _find_snp(inner, cache, now=now, anchors=anchors)
        if inner.family is Family.SNP
        else _intel.find(inner, cache, now=now, anchors=anchors)
    )


_NAMERS: Mapping[Family, _Namer] = MappingProxyType(
    {
        Family.SGX: _intel.name_items,
        Family.TDX: _intel.name_items,
        Family.SNP: _snp,
        Family.TPM: _certified_key("ak_certificate", "ak_chain"),
        Family.TXT: _certified_key("ak_certificate", "ak_chain"),
        Family.AZURE: _azure_names,
        Family.PSA: _certified_key("iak_certificate", "chain", "iak"),
        Family.CCA: _certified_key("cpak_certificate", "chain", "cpak"),
        Family.NVIDIA: _nvidia_names,
    }
)

_FINDERS = MappingProxyType(
    {
        Family.SGX: _intel.find,
        Family.TDX: _intel.find,
        Family.SNP: _find_snp,
        Family.AZURE: _find_azure,
        Family.NVIDIA: _find_nvidia,
    }
)
