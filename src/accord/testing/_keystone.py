# SPDX-License-Identifier: Apache-2.0
"""A simulated Keystone device: device key and security monitor key in a folder."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from accord.encoding import Digest, base64_encode, canonical_json, sha256
from accord.errors import EncodingError, SimulatorStateError
from accord.evidence import Evidence
from accord.evidence.keystone import expand_seed, public_key, sign
from accord.policy import Family
from accord.testing import _files

_SCHEMA = "accord.simulated-keystone.v1"
_SECRET_FILE = "keystone.secret.json"  # noqa: S105 - a file name
_WHAT = "Keystone device"
_SEED_BYTES = 32
_DATA_BYTES = 1024

ENCLAVE = hashlib.sha3_512(b"accord simulated enclave").digest()
SECURITY_MONITOR = hashlib.sha3_512(b"accord simulated security monitor").digest()


@dataclass(frozen=True, repr=False)
class SimulatedKeystone:
    """Stands for one RISC-V device: whoever holds its folder can forge its reports."""

    device: bytes
    monitor: bytes

    @classmethod
    def create(cls, home: Path) -> SimulatedKeystone:
        """A new device in ``home``, or the one that is there."""
        document = {
            "schema": _SCHEMA,
            "device_seed": base64_encode(secrets.token_bytes(_SEED_BYTES)),
            "monitor_seed": base64_encode(secrets.token_bytes(_SEED_BYTES)),
        }
        _files.write_once(home / _SECRET_FILE, canonical_json(document))
        return cls.load(home)

    @classmethod
    def load(cls, home: Path) -> SimulatedKeystone:
        """The device in ``home``. Raises ``SimulatorStateError`` or ``IdentityExposedError``."""
        path = home / _SECRET_FILE
        fields = _files.read_fields(path, what=_WHAT)
        try:
            fields.schema(_SCHEMA)
            seeds = [
                fields.data(name, size=_SEED_BYTES) for name in ("device_seed", "monitor_seed")
            ]
            fields.end()
        except EncodingError as exc:
            raise SimulatorStateError(what=_WHAT, path=path, detail=str(exc)) from exc
        return cls(*map(expand_seed, seeds))

    @property
    def root_digest(self) -> Digest:
        """The trust anchor to pin: the SHA-256 of the device's public key."""
        return sha256(public_key(self.device))

    @property
    def anchors(self) -> tuple[Digest, ...]:
        return (self.root_digest,)

    def collect(
        self,
        report_data: bytes,
        *,
        enclave: bytes = ENCLAVE,
        security_monitor: bytes = SECURITY_MONITOR,
    ) -> Evidence:
        """A report of an enclave that asked for it with ``report_data`` (at most 1024 bytes)."""
        if len(report_data) > _DATA_BYTES:
            message = f"report data must be at most {_DATA_BYTES} bytes"
            raise ValueError(message)
        return Evidence(
            Family.KEYSTONE,
            write_report(self.device, self.monitor, report_data, enclave, security_monitor),
        )


def write_report(
    device: bytes, monitor: bytes, data: bytes, enclave: bytes, security_monitor: bytes
) -> bytes:
    """A report as the security monitor writes it, by two expanded secret keys."""
    monitor_signed = security_monitor + public_key(monitor)
    enclave_head = enclave + len(data).to_bytes(8, "little")
    return b"".join(
        (
            enclave_head,
            data.ljust(_DATA_BYTES, b"\0"),
            sign(monitor, enclave_head + data),
            monitor_signed,
            sign(device, monitor_signed),
            public_key(device),
        )
    )
