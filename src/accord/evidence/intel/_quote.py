# SPDX-License-Identifier: Apache-2.0
"""Intel TDX quote, version 4, with a TD report 1.0 body: bytes to fields, nothing verified.

Layout: Intel TDX DCAP Quoting Library API, appendix A.3; restated in docs/spec/evidence.md, 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from accord.errors import EvidenceMalformedError
from accord.evidence._reader import Reader

MAX_QUOTE_BYTES = 16 << 10
"""Largest quote: twice the largest recorded one, whose platform pads to 8000 bytes."""

HEADER_BYTES = 48
BODY_BYTES = 584
SIGNED_BYTES = HEADER_BYTES + BODY_BYTES
QE_REPORT_BYTES = 384

_VERSION = 4
_ECDSA_P256 = 2
_TEE_TDX = 0x81
_INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_CERT_QE_REPORT = 6
_CERT_PCK_CHAIN = 5


@dataclass(frozen=True, slots=True)
class TDReport:
    """TD report body 1.0, 584 bytes (appendix A.3.2)."""

    tee_tcb_svn: bytes
    mrseam: bytes
    mrsignerseam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mrtd: bytes
    mrconfigid: bytes
    mrowner: bytes
    mrownerconfig: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes


@dataclass(frozen=True, slots=True)
class QEReport:
    """SGX report body of the quoting enclave, 384 bytes (appendix A.3.10)."""

    miscselect: bytes
    attributes: bytes
    mrsigner: bytes
    isv_prod_id: int
    isv_svn: int
    report_data: bytes


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote taken apart; ``signed`` is what ``signature`` covers."""

    signed: bytes
    report: TDReport
    signature: bytes
    attestation_key: bytes
    qe_report_bytes: bytes
    qe_report: QEReport
    qe_signature: bytes
    qe_auth_data: bytes
    pck_chain: bytes


def parse_quote(data: bytes) -> Quote:
    """Takes a quote apart; lengths must add up, and only zero bytes may follow.

    Platforms pad quotes with zeros; anything else after the signature data is refused.
    Raises ``EvidenceMalformedError``.
    """
    what = "quote"
    if len(data) > MAX_QUOTE_BYTES:
        raise EvidenceMalformedError(what=what, detail=f"larger than {MAX_QUOTE_BYTES} bytes")
    reader = Reader(data, what)
    signed = reader.take(SIGNED_BYTES)
    _check_header(signed[:HEADER_BYTES])
    report = _parse_report(signed[HEADER_BYTES:])
    # A.3.8: ECDSA P-256 quote signature data.
    signature_data = Reader(reader.take(reader.number(4)), "quote signature data")
    if reader.rest().strip(b"\0"):
        raise EvidenceMalformedError(what=what, detail="bytes other than zeros follow it")
    signature, key = signature_data.take(64), signature_data.take(64)
    signature_data.expect(2, _CERT_QE_REPORT, "certification data type")
    certification = Reader(_sized_rest(signature_data, "certification data"), "QE certification")
    # A.3.11: QE report certification data.
    qe_report = certification.take(QE_REPORT_BYTES)
    qe_signature = certification.take(64)
    auth_data = certification.take(certification.number(2))
    certification.expect(2, _CERT_PCK_CHAIN, "certification data type")
    chain = _sized_rest(certification, "PCK certificate chain")
    return Quote(
        signed=signed,
        report=report,
        signature=signature,
        attestation_key=key,
        qe_report_bytes=qe_report,
        qe_report=_parse_qe_report(qe_report),
        qe_signature=qe_signature,
        qe_auth_data=auth_data,
        pck_chain=chain,
    )


def _sized_rest(reader: Reader, what: str) -> bytes:
    """Four bytes of size, then exactly that much, then nothing."""
    size, rest = reader.number(4), reader.rest()
    if size != len(rest):
        raise EvidenceMalformedError(
            what=what, detail=f"says it has {size} bytes, but there are {len(rest)}"
        )
    return rest


def _check_header(data: bytes) -> None:
    """A.3.1. Bytes 8 to 11 are reserved and the last 20 are the QE's own: both are signed."""
    header = Reader(data, "quote header")
    header.expect(2, _VERSION, "version")
    header.expect(2, _ECDSA_P256, "attestation key type")
    header.expect(4, _TEE_TDX, "TEE type")
    header.take(4)
    if header.take(16) != _INTEL_QE:
        raise EvidenceMalformedError(what="quote header", detail="unknown QE vendor")


def _parse_report(data: bytes) -> TDReport:
    body = Reader(data, "TD report")
    return TDReport(
        tee_tcb_svn=body.take(16),
        mrseam=body.take(48),
        mrsignerseam=body.take(48),
        seam_attributes=body.take(8),
        td_attributes=body.take(8),
        xfam=body.take(8),
        mrtd=body.take(48),
        mrconfigid=body.take(48),
        mrowner=body.take(48),
        mrownerconfig=body.take(48),
        rtmrs=(body.take(48), body.take(48), body.take(48), body.take(48)),
        report_data=body.take(64),
    )


def _parse_qe_report(data: bytes) -> QEReport:
    return QEReport(
        miscselect=data[16:20],
        attributes=data[48:64],
        mrsigner=data[128:160],
        isv_prod_id=int.from_bytes(data[256:258], "little"),
        isv_svn=int.from_bytes(data[258:260], "little"),
        report_data=data[320:384],
    )
