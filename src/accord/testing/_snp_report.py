# SPDX-License-Identifier: Apache-2.0
"""SEV-SNP attestation reports, written byte for byte as the secure processor does."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

POLICY = 0x3_0000
"""Any ABI, SMT allowed, no migration agent, no debug; bit 17 is always one."""

MIGRATE_MA, DEBUG = 1 << 18, 1 << 19
_VERSION_WITH_CPUID, _VERSION_WITH_MITIGATIONS = 3, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SNPReport:
    """The fields of a report (56860, 7.3), with values that an ordinary guest has."""

    version: int = 5
    guest_svn: int = 1
    policy: int = POLICY
    family_id: bytes = bytes(16)
    image_id: bytes = bytes(16)
    vmpl: int = 0
    signature_algorithm: int = 1
    current_tcb: bytes
    platform_info: int = 0b10_0101
    """SMT, ECC, alias check complete."""
    author_key_enabled: bool = False
    chip_key_masked: bool = False
    signing_key: int = 0
    measurement: bytes
    host_data: bytes = bytes(32)
    id_key_digest: bytes = bytes(48)
    author_key_digest: bytes = bytes(48)
    report_id: bytes
    report_id_ma: bytes = b"\xff" * 32
    reported_tcb: bytes
    cpuid: tuple[int, int, int]
    chip_id: bytes
    committed_tcb: bytes
    current_firmware: tuple[int, int, int] = (1, 58, 2)
    committed_firmware: tuple[int, int, int] = (1, 58, 1)
    launch_tcb: bytes
    mitigations: tuple[int, int] = (3, 3)

    def sign(self, report_data: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        """The report with its signature, deterministic (RFC 6979)."""
        signed = self._signed(report_data)
        signature = key.sign(signed, ec.ECDSA(SHA384(), deterministic_signing=True))
        numbers = (n.to_bytes(72, "little") for n in decode_dss_signature(signature))
        return signed + b"".join(numbers).ljust(512, b"\0")

    def _signed(self, report_data: bytes) -> bytes:
        flags = self.author_key_enabled | self.chip_key_masked << 1 | self.signing_key << 2
        cpuid = self.cpuid if self.version >= _VERSION_WITH_CPUID else ()
        mitigations = self.mitigations if self.version >= _VERSION_WITH_MITIGATIONS else (0, 0)
        parts = (
            _number(self.version, 4),
            _number(self.guest_svn, 4),
            _number(self.policy, 8),
            self.family_id,
            self.image_id,
            _number(self.vmpl, 4),
            _number(self.signature_algorithm, 4),
            self.current_tcb,
            _number(self.platform_info, 8),
            _number(flags, 8),
            report_data,
            self.measurement,
            self.host_data,
            self.id_key_digest,
            self.author_key_digest,
            self.report_id,
            self.report_id_ma,
            self.reported_tcb,
            bytes(cpuid).ljust(24, b"\0"),
            self.chip_id.ljust(64, b"\0"),
            self.committed_tcb,
            bytes(reversed(self.current_firmware)) + b"\0",
            bytes(reversed(self.committed_firmware)) + b"\0",
            self.launch_tcb,
            *(_number(vector, 8) for vector in mitigations),
            bytes(152),
        )
        return b"".join(parts)


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")
