# SPDX-License-Identifier: Apache-2.0
"""Keystone report: bytes to fields, nothing verified (docs/spec/evidence/keystone.md, 1)."""

from __future__ import annotations

from dataclasses import dataclass

from accord.errors import EvidenceMalformedError
from accord.evidence._evidence import Evidence
from accord.evidence._reader import Reader
from accord.evidence.keystone._ed25519_sha3 import KEY_BYTES, SIGNATURE_BYTES

HASH_BYTES = 64
MAX_DATA_BYTES = 1024
REPORT_BYTES = 1352
_WHAT = "Keystone report"


@dataclass(frozen=True, slots=True)
class EnclaveReport:
    """What the security monitor says of the enclave; ``signed`` is what it signed."""

    hash: bytes
    data: bytes
    signature: bytes
    signed: bytes


@dataclass(frozen=True, slots=True)
class MonitorReport:
    """What the device says of its security monitor; ``signed`` is what it signed."""

    hash: bytes
    public_key: bytes
    signature: bytes
    signed: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """A report taken apart."""

    enclave: EnclaveReport
    security_monitor: MonitorReport
    device_key: bytes


def parse_keystone(evidence: Evidence) -> Report:
    """The report in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    return parse_report(evidence.blob)


def parse_report(data: bytes) -> Report:
    """Takes a report apart; it has exactly one size.

    What lies beyond the length of the enclave's data is memory that nobody signs, and is *not*
    looked at. Raises ``EvidenceMalformedError``.
    """
    if len(data) != REPORT_BYTES:
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"it has {len(data)} bytes, expected {REPORT_BYTES}"
        )
    reader = Reader(data, _WHAT)
    enclave_hash, length = reader.take(HASH_BYTES), reader.number(8)
    if length > MAX_DATA_BYTES:
        raise EvidenceMalformedError(what=_WHAT, detail=f"it says it carries {length} bytes")
    attested = reader.take(MAX_DATA_BYTES)[:length]
    enclave = EnclaveReport(
        hash=enclave_hash,
        data=attested,
        signature=reader.take(SIGNATURE_BYTES),
        signed=enclave_hash + length.to_bytes(8, "little") + attested,
    )
    monitor_hash, monitor_key = reader.take(HASH_BYTES), reader.take(KEY_BYTES)
    monitor = MonitorReport(
        hash=monitor_hash,
        public_key=monitor_key,
        signature=reader.take(SIGNATURE_BYTES),
        signed=monitor_hash + monitor_key,
    )
    return Report(enclave, monitor, reader.take(KEY_BYTES))
