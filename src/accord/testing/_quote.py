# SPDX-License-Identifier: Apache-2.0
"""Writes TDX quotes, version 4, byte for byte as a quoting enclave does."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from accord.testing._pki import (
    QE_ATTRIBUTES,
    QE_ISV_PROD_ID,
    QE_ISV_SVN,
    QE_MRSIGNER,
    TEE_TCB_SVN,
    raw_public_key,
    raw_signature,
)

SEPT_VE_DISABLE = 1 << 28
DEBUG = 1

_HEADER = struct.pack("<HHI4x", 4, 2, 0x81) + bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_HEADER += bytes(20)
_XFAM = bytes.fromhex("e702060000000000")
_QE_AUTH_DATA = bytes(range(32))


def certify(
    pck: ec.EllipticCurvePrivateKey, attestation: ec.EllipticCurvePrivateKey, pck_chain: bytes
) -> bytes:
    """The part of a quote that stays: attestation key, QE report by ``pck``, PCK chain."""
    key = raw_public_key(attestation)
    report = _qe_report(hashlib.sha256(key + _QE_AUTH_DATA).digest())
    certification = (
        report
        + raw_signature(pck, report)
        + struct.pack("<H", len(_QE_AUTH_DATA))
        + _QE_AUTH_DATA
        + struct.pack("<HI", 5, len(pck_chain))
        + pck_chain
    )
    return key + struct.pack("<HI", 6, len(certification)) + certification


def _qe_report(report_data: bytes) -> bytes:
    """An SGX report body of a quoting enclave that never ran."""
    return struct.pack(
        "<16s4s12s16s16s32s32s32s96sHH60s64s",
        bytes(16),
        bytes(4),
        bytes(12),
        bytes(16),
        QE_ATTRIBUTES,
        hashlib.sha256(b"accord simulated quoting enclave code").digest(),
        bytes(32),
        QE_MRSIGNER,
        bytes(96),
        QE_ISV_PROD_ID,
        QE_ISV_SVN,
        bytes(60),
        report_data,
    )


def write_quote(
    measurements: Mapping[str, bytes],
    report_data: bytes,
    *,
    attestation: ec.EllipticCurvePrivateKey,
    certification: bytes,
    td_attributes: int = SEPT_VE_DISABLE,
    tee_tcb_svn: bytes = TEE_TCB_SVN,
) -> bytes:
    """A quote signed by ``attestation``, which ``certification`` (`certify`) vouches for."""
    signed = b"".join(
        (
            _HEADER,
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
    signature = raw_signature(attestation, signed)
    return (
        signed + struct.pack("<I", len(signature) + len(certification)) + signature + certification
    )
