# SPDX-License-Identifier: Apache-2.0
"""SEV-SNP reports, certificate tables, endorsements and AMD's certificate extensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from accord.encoding import sha256
from accord.evidence import Evidence
from accord.evidence._certificate import load_certificates
from accord.evidence.amd import (
    Product,
    parse_report,
    parse_snp,
    read_vek,
    split_extended_report,
    verify_snp,
)
from accord.policy import Family
from accord.testing._snp_pki import KeyProfile, issue_authorities, issue_key_certificate

_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_PRODUCT = Product.GENOA
_REPORT_BYTES = 0x4A0
_ARC = "1.3.6.1.4.1.3704.1."

_RSA = rsa.generate_private_key(65537, 2048)  # short: this one only has to be fast
_AUTHORITIES = issue_authorities(_PRODUCT, dict.fromkeys(("ark", "ask", "asvk"), _RSA), now=_NOW)
_VCEK = issue_key_certificate(
    KeyProfile(
        product=_PRODUCT, product_name="Genoa-B1", tcb=bytes(8), chip_id=bytes(64), csp_id=""
    ),
    ec.generate_private_key(ec.SECP384R1()),
    _RSA,
    now=_NOW,
)
_ANCHORS = (sha256(_AUTHORITIES["ark"]),)
_GIVEN = {"vcek": _VCEK, "ask": _AUTHORITIES["ask"], "ark": _AUTHORITIES["ark"]}
_CHAIN = tuple(load_certificates(data, what=name)[0] for name, data in _GIVEN.items())


def _verify(data: bytes) -> None:
    """A report that starts as one must, so that more than its version is reached."""
    blob = (b"\x03\x00\x00\x00" + data).ljust(_REPORT_BYTES, b"\0")[:_REPORT_BYTES]
    verify_snp(Evidence(Family.SNP, blob, _GIVEN), anchors=_ANCHORS, now=_NOW)


def _endorsements(data: bytes) -> None:
    for name in ("vcek", "cert_chain"):
        parse_snp(Evidence(Family.SNP, bytes(_REPORT_BYTES), {name: data}))


def _revocations(data: bytes) -> None:
    """The report has no good signature, but the list is read before that is seen."""
    blob = bytearray(_REPORT_BYTES)
    blob[0], blob[0x0A], blob[0x34] = 2, 2, 1
    given = {**_GIVEN, "crl": data}
    verify_snp(Evidence(Family.SNP, bytes(blob), given), anchors=_ANCHORS, now=_NOW)


def _extensions(data: bytes) -> None:
    leaf, *above = _CHAIN
    number = ("2", "3.1", "3.4", "4", "5")[data[0] % 5 if data else 0]
    changed = replace(leaf, extensions={**leaf.extensions, _ARC + number: data[1:]})
    read_vek((changed, *above), loaded=False)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "snp-report": parse_report,
    "snp-table": split_extended_report,
    "snp-verify": _verify,
    "snp-endorsements": _endorsements,
    "snp-revocations": _revocations,
    "snp-extensions": _extensions,
}
