# SPDX-License-Identifier: Apache-2.0
"""Intel quotes: SGX version 3, TDX versions 4 and 5. Bytes to fields, nothing verified.

Layouts: Intel SGX ECDSA Quote Library Reference, appendix A (version 3); Intel TDX DCAP Quoting
Library API, appendix A.3 (4) and A.4 (5); restated in docs/spec/evidence/intel.md, 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from accord.errors import EvidenceMalformedError
from accord.evidence._reader import Reader

MAX_QUOTE_BYTES = 16 << 10
"""Largest quote: twice the largest recorded one, whose platform pads to 8000 bytes."""

HEADER_BYTES = 48
SGX_REPORT_BYTES = 384
TD_REPORT_10_BYTES = 584
TD_REPORT_15_BYTES = 648

SGX, TDX = 0, 0x81
"""TEE types."""

PCK_CHAIN = 5
"""The type of certification data that is a PEM chain (A.3.9)."""

_SGX_VERSION, _TDX_VERSION, _TYPED_VERSION = 3, 4, 5
_ECDSA_P256 = 2
_INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_QE_REPORT = 6
_BODIES = {2: TD_REPORT_10_BYTES, 3: TD_REPORT_15_BYTES}
"""Version 5: sizes of the TD report bodies 1.0 and 1.5 by their type."""


@dataclass(frozen=True, slots=True)
class Header:
    """48 bytes, the same in all versions but for ``svns``: the SVNs of QE and PCE in version 3."""

    version: int
    tee_type: int
    svns: tuple[int, int]
    user_data: bytes


@dataclass(frozen=True, slots=True)
class SGXReport:
    """SGX enclave report body, 384 bytes (Intel SDM, volume 3D, 38.15); reserved fields left out.

    ``flags`` and ``xfrm`` are the two halves of ATTRIBUTES.
    """

    cpu_svn: bytes
    misc_select: bytes
    isv_ext_prod_id: bytes
    flags: int
    xfrm: bytes
    mrenclave: bytes
    mrsigner: bytes
    config_id: bytes
    isv_prod_id: int
    isv_svn: int
    config_svn: int
    isv_family_id: bytes
    report_data: bytes

    @property
    def attributes(self) -> bytes:
        return self.flags.to_bytes(8, "little") + self.xfrm


@dataclass(frozen=True, slots=True)
class TDReport:
    """TD report body 1.0, 584 bytes (A.3.2), or 1.5, 648 bytes (A.4.3), which adds two fields."""

    tee_tcb_svn: bytes
    mrseam: bytes
    mrsignerseam: bytes
    seam_attributes: bytes
    td_attributes: int
    xfam: bytes
    mrtd: bytes
    mrconfigid: bytes
    mrowner: bytes
    mrownerconfig: bytes
    rtmrs: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    tee_tcb_svn_2: bytes | None
    mrservicetd: bytes | None

    @property
    def body(self) -> str:
        return "1.0" if self.mrservicetd is None else "1.5"


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote taken apart; ``signed`` is what ``signature`` covers.

    ``certification_data`` says which PCK signed the QE report; what it holds depends on
    ``certification_type``. ``padding`` counts the bytes that follow the quote.
    """

    header: Header
    report: SGXReport | TDReport
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report_bytes: bytes
    qe_report: SGXReport
    qe_signature: bytes
    qe_auth_data: bytes
    certification_type: int
    certification_data: bytes
    padding: int


def parse_quote(data: bytes) -> Quote:
    """Takes a quote apart; its lengths must add up.

    What follows the signature data is counted and otherwise ignored: platforms pad quotes
    with zeros, and tools append text. Raises ``EvidenceMalformedError``.
    """
    if len(data) > MAX_QUOTE_BYTES:
        raise EvidenceMalformedError(what="quote", detail=f"larger than {MAX_QUOTE_BYTES} bytes")
    reader = Reader(data, "quote")
    header = _parse_header(reader.take(HEADER_BYTES))
    report: SGXReport | TDReport
    if header.version == _SGX_VERSION:
        report = parse_sgx_report(reader.take(SGX_REPORT_BYTES))
    elif header.version == _TDX_VERSION:
        report = _parse_td_report(reader.take(TD_REPORT_10_BYTES))
    else:
        kind, size = reader.number(2), reader.number(4)
        if _BODIES.get(kind) != size:
            detail = f"body type {kind} of {size} bytes is not supported"
            raise EvidenceMalformedError(what="quote", detail=detail)
        report = _parse_td_report(reader.take(size))
    signed = data[: len(data) - reader.left]
    signature_data = Reader(reader.sized(4), "quote signature data")
    return _parse_signature_data(header, report, signed, signature_data, padding=reader.left)


def _parse_header(data: bytes) -> Header:
    """A.3.1. Bytes 8 to 11 are reserved from version 4 on; they and the last 20 are signed."""
    header = Reader(data, "quote header")
    version = header.number(2)
    if version not in {_SGX_VERSION, _TDX_VERSION, _TYPED_VERSION}:
        detail = f"version is {version}, expected 3, 4 or 5"
        raise EvidenceMalformedError(what="quote header", detail=detail)
    header.expect(2, _ECDSA_P256, "attestation key type")
    tee_type = SGX if version == _SGX_VERSION else TDX
    header.expect(4, tee_type, "TEE type")
    svns = header.number(2), header.number(2)
    if header.take(16) != _INTEL_QE:
        raise EvidenceMalformedError(what="quote header", detail="unknown QE vendor")
    return Header(version, tee_type, svns, header.rest())


def _parse_signature_data(
    header: Header, report: SGXReport | TDReport, signed: bytes, data: Reader, *, padding: int
) -> Quote:
    """A.3.8: ECDSA P-256 quote signature data; from version 4 on, certification data nest."""
    signature, key = data.take(64), data.take(64)
    if header.version != _SGX_VERSION:
        data.expect(2, _QE_REPORT, "certification data type")
        data = Reader(_sized_rest(data, "certification data"), "QE certification")
    # A.3.11: QE report certification data.
    qe_report, qe_signature = data.take(SGX_REPORT_BYTES), data.take(64)
    auth_data = data.sized(2)
    certification_type = data.number(2)
    return Quote(
        header=header,
        report=report,
        signed=signed,
        signature=signature,
        attestation_key=key,
        qe_report_bytes=qe_report,
        qe_report=parse_sgx_report(qe_report),
        qe_signature=qe_signature,
        qe_auth_data=auth_data,
        certification_type=certification_type,
        certification_data=_sized_rest(data, "PCK certification data"),
        padding=padding,
    )


def _sized_rest(reader: Reader, what: str) -> bytes:
    """Four bytes of size, then that much; only zeros may follow, as after a whole quote."""
    data, rest = reader.sized(4), reader.rest()
    if any(rest):
        raise EvidenceMalformedError(
            what=what, detail=f"has {len(data)} bytes, but {len(rest)} more follow"
        )
    return data


def parse_sgx_report(data: bytes) -> SGXReport:
    """The body of a report of 384 bytes; reserved bytes are signed, and not interpreted.

    Raises ``EvidenceMalformedError``.
    """
    body = Reader(data, "SGX report")
    cpu_svn, misc_select, _ = body.take(16), body.take(4), body.take(12)
    ext_prod_id, flags, xfrm = body.take(16), body.number(8), body.take(8)
    mrenclave, _ = body.take(32), body.take(32)
    mrsigner, _ = body.take(32), body.take(32)
    config_id = body.take(64)
    prod_id, svn, config_svn, _ = body.number(2), body.number(2), body.number(2), body.take(42)
    return SGXReport(
        cpu_svn=cpu_svn,
        misc_select=misc_select,
        isv_ext_prod_id=ext_prod_id,
        flags=flags,
        xfrm=xfrm,
        mrenclave=mrenclave,
        mrsigner=mrsigner,
        config_id=config_id,
        isv_prod_id=prod_id,
        isv_svn=svn,
        config_svn=config_svn,
        isv_family_id=body.take(16),
        report_data=body.take(64),
    )


def _parse_td_report(data: bytes) -> TDReport:
    body = Reader(data, "TD report")
    return TDReport(
        tee_tcb_svn=body.take(16),
        mrseam=body.take(48),
        mrsignerseam=body.take(48),
        seam_attributes=body.take(8),
        td_attributes=body.number(8),
        xfam=body.take(8),
        mrtd=body.take(48),
        mrconfigid=body.take(48),
        mrowner=body.take(48),
        mrownerconfig=body.take(48),
        rtmrs=(body.take(48), body.take(48), body.take(48), body.take(48)),
        report_data=body.take(64),
        tee_tcb_svn_2=body.take(16) if body.left else None,
        mrservicetd=body.take(48) if body.left else None,
    )
