# SPDX-License-Identifier: Apache-2.0
"""Writes SGX and TDX quotes byte for byte as a quoting enclave does."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from accord.policy import Family
from accord.testing._pki import (
    QE_ATTRIBUTES,
    QE_ISV_PROD_ID,
    QE_ISV_SVN,
    QE_MRSIGNER,
    TEE_TCB_SVN,
    raw_public_key,
    raw_signature,
)

TDX_REGISTERS = (
    "mrtd",
    "rtmr0",
    "rtmr1",
    "rtmr2",
    "rtmr3",
    "mrseam",
    "mrconfigid",
    "mrowner",
    "mrownerconfig",
)
"""What a simulated TD says of itself, 48 bytes each."""

SEPT_VE_DISABLE = 1 << 28
DEBUG = 1
SGX_FLAGS = 0b101
"""Initialised, 64 bit."""

SGX_DEBUG = 0b10

_INTEL_QE = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_XFRM = bytes.fromhex("e700000000000000")
_XFAM = bytes.fromhex("e702060000000000")
_QE_AUTH_DATA = bytes(range(32))
_TD_REPORT_10, _TD_REPORT_15 = (2, 584), (3, 648)


def certify(
    pck: ec.EllipticCurvePrivateKey,
    attestation: ec.EllipticCurvePrivateKey,
    pck_chain: bytes,
    *,
    tee: Family = Family.TDX,
) -> bytes:
    """The part of a quote that stays: attestation key, QE report by ``pck``, PCK chain."""
    key = raw_public_key(attestation)
    report = sgx_report(
        {
            "mrenclave": hashlib.sha256(b"accord simulated quoting enclave code").digest(),
            "mrsigner": QE_MRSIGNER[tee],
        },
        hashlib.sha256(key + _QE_AUTH_DATA).digest(),
        attributes=QE_ATTRIBUTES,
        isv_prod_id=QE_ISV_PROD_ID[tee],
        isv_svn=QE_ISV_SVN,
    )
    certification = (
        report
        + raw_signature(pck, report)
        + struct.pack("<H", len(_QE_AUTH_DATA))
        + _QE_AUTH_DATA
        + struct.pack("<HI", 5, len(pck_chain))
        + pck_chain
    )
    if tee is Family.SGX:  # version 3 does not say what nests here
        return key + certification
    return key + struct.pack("<HI", 6, len(certification)) + certification


def sgx_report(
    measurements: Mapping[str, bytes],
    report_data: bytes,
    *,
    attributes: bytes = SGX_FLAGS.to_bytes(8, "little") + _XFRM,
    isv_prod_id: int = 0,
    isv_svn: int = 0,
    config_svn: int = 0,
) -> bytes:
    """An SGX report body, 384 bytes, of an enclave that never ran."""
    return struct.pack(
        "<16s4s12s16s16s32s32s32s32s64sHHH42s16s64s",
        bytes(16),
        bytes(4),
        bytes(12),
        bytes(16),
        attributes,
        measurements["mrenclave"],
        bytes(32),
        measurements["mrsigner"],
        bytes(32),
        measurements.get("config_id", bytes(64)),
        isv_prod_id,
        isv_svn,
        config_svn,
        bytes(42),
        bytes(16),
        report_data,
    )


def write_sgx_quote(
    report: bytes, *, attestation: ec.EllipticCurvePrivateKey, certification: bytes
) -> bytes:
    """A quote, version 3, over ``report`` (`sgx_report`)."""
    header = struct.pack("<HHIHH16s20s", 3, 2, 0, QE_ISV_SVN, 11, _INTEL_QE, bytes(20))
    return _sign(header + report, attestation, certification)


def write_quote(
    measurements: Mapping[str, bytes],
    report_data: bytes,
    *,
    attestation: ec.EllipticCurvePrivateKey,
    certification: bytes,
    td_attributes: int = SEPT_VE_DISABLE,
    tee_tcb_svn: bytes = TEE_TCB_SVN,
    version: int = 4,
    td_report: str = "1.0",
    tee_tcb_svn_2: bytes = TEE_TCB_SVN,
    mrservicetd: bytes = bytes(48),
) -> bytes:
    """A TDX quote signed by ``attestation``, which ``certification`` (`certify`) vouches for.

    Version 5 has either body; version 4 the body 1.0 alone. ``tee_tcb_svn_2`` and
    ``mrservicetd`` are only in the body 1.5.
    """
    header = struct.pack("<HHI4x16s20s", version, 2, 0x81, _INTEL_QE, bytes(20))
    if version != 4:  # noqa: PLR2004 - later ones say which body follows
        header += struct.pack("<HI", *(_TD_REPORT_10 if td_report == "1.0" else _TD_REPORT_15))
    body = b"".join(
        (
            tee_tcb_svn,
            measurements["mrseam"],
            bytes(48),  # MRSIGNERSEAM: zero means Intel's own module
            bytes(8),
            td_attributes.to_bytes(8, "little"),
            _XFAM,
            *(measurements[name] for name in ("mrtd", "mrconfigid", "mrowner", "mrownerconfig")),
            *(measurements[f"rtmr{index}"] for index in range(4)),
            report_data,
        )
    )
    if td_report != "1.0":
        body += tee_tcb_svn_2 + mrservicetd
    return _sign(header + body, attestation, certification)


def _sign(signed: bytes, attestation: ec.EllipticCurvePrivateKey, certification: bytes) -> bytes:
    signature = raw_signature(attestation, signed)
    return (
        signed + struct.pack("<I", len(signature) + len(certification)) + signature + certification
    )
