# SPDX-License-Identifier: Apache-2.0
"""A simulated Nitro hypervisor: AWS's authorities and an instance's keys in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from accord.encoding import Digest, sha256
from accord.evidence import Evidence
from accord.policy import Family
from accord.testing._cose import Keys, load_keys, sign1, store_keys
from accord.testing._vendor import moment

_SCHEMA = "accord.simulated-nitro.v1"
_SECRET_FILE = "nitro.secret.json"  # noqa: S105 - a file name
_WHAT = "Nitro hypervisor"
_ROOT = "root"
_AUTHORITIES = (_ROOT, "regional", "zonal", "instance")
_NAMES = (*_AUTHORITIES, "enclave")
_CERTIFICATE = "root_certificate"
_ORGANISATION = "Accord simulation (not hardware)"
_INSTANCE = "i-0acc04d0000000000"
_ENCLAVE = f"{_INSTANCE}-enc0acc04d000000000"
_REGION = "simulated"
_REGISTERS = 16
_REGISTER_BYTES = 48
_MEASURED = (0, 1, 2, 3, 4, 8)
"""Registers that are not zero: image, kernel, application, role, instance, signer."""

_GRACE = timedelta(days=1)
_DATED_BACK = timedelta(seconds=3)
_ROOT_VALIDITY = timedelta(days=10950)
_VALIDITY = (
    timedelta(days=20),
    timedelta(days=5),
    timedelta(days=1),
    timedelta(hours=3),
)
"""How long AWS's certificates live below the root."""


@dataclass(frozen=True, repr=False)
class SimulatedNitro:
    """Stands for AWS and one instance: whoever holds its folder can forge its documents."""

    keys: Keys
    root_certificate: bytes

    @classmethod
    def create(cls, home: Path, *, now: datetime | None = None) -> SimulatedNitro:
        """A new hypervisor in ``home``, or the one that is there."""
        keys = {name: ec.generate_private_key(ec.SECP384R1()) for name in _NAMES}
        start = moment(now) - _GRACE
        root = _issue(keys, 0, (start, start + _ROOT_VALIDITY))
        store_keys(home / _SECRET_FILE, _SCHEMA, keys, **{_CERTIFICATE: root})
        return cls.load(home)

    @classmethod
    def load(cls, home: Path) -> SimulatedNitro:
        """The hypervisor in ``home``.

        Raises ``SimulatorStateError`` or ``IdentityExposedError``.
        """
        keys, more = load_keys(home / _SECRET_FILE, _SCHEMA, _NAMES, (_CERTIFICATE,), what=_WHAT)
        return cls(keys, more[_CERTIFICATE])

    @property
    def root_digest(self) -> Digest:
        """The trust anchor to pin."""
        return sha256(self.root_certificate)

    @property
    def anchors(self) -> tuple[Digest, ...]:
        return (self.root_digest,)

    @property
    def measurements(self) -> Mapping[str, bytes]:
        """What its documents will show."""
        zero = bytes(_REGISTER_BYTES)
        return MappingProxyType(
            {
                f"pcr{index}": hashlib.sha384(b"accord simulated %d" % index).digest()
                if index in _MEASURED
                else zero
                for index in range(_REGISTERS)
            }
        )

    def collect(
        self,
        report_data: bytes,
        *,
        now: datetime | None = None,
        debug: bool = False,
        changes: Mapping[str, Any] = MappingProxyType({}),
        left_out: Collection[str] = (),
        tag: int | None = None,
    ) -> Evidence:
        """A document of the enclave, with ``report_data`` as its user data.

        ``changes`` replaces fields, and ``left_out`` names those that it shall not have.
        """
        created = moment(now)
        zero = bytes(_REGISTER_BYTES)
        certificates = self._certificates(created)
        document = {
            "module_id": _ENCLAVE,
            "digest": "SHA384",
            "timestamp": int(created.timestamp()) * 1000 + 17,
            "pcrs": {
                index: zero if debug and index in _MEASURED[:3] else value
                for index, value in enumerate(self.measurements.values())
            },
            "certificate": certificates[-1],
            "cabundle": certificates[:-1],
            "user_data": report_data,
            # The hypervisor writes null where the enclave asked for nothing.
            "public_key": None,
            "nonce": None,
        }
        payload = {
            name: value for name, value in {**document, **changes}.items() if name not in left_out
        }
        return Evidence(Family.NITRO, sign1(self.keys["enclave"], cbor2.dumps(payload), tag=tag))

    def _certificates(self, created: datetime) -> list[bytes]:
        """Root first; all but the root are as young as the document."""
        start = created - _DATED_BACK
        return [
            self.root_certificate,
            *(
                _issue(self.keys, level, (start, start + validity))
                for level, validity in enumerate(_VALIDITY, start=1)
            ),
        ]


def _name(level: int) -> x509.Name:
    common = (
        "aws.nitro-enclaves",
        f"{_REGION}.aws.nitro-enclaves",
        f"zonal.{_REGION}.aws.nitro-enclaves",
        f"{_INSTANCE}.{_REGION}.aws.nitro-enclaves",
        f"{_ENCLAVE}.{_REGION}.aws",
    )[level]
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "AWS"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _issue(keys: Keys, level: int, validity: tuple[datetime, datetime]) -> bytes:
    """The certificate of one level, by the one above; the root issues its own."""
    is_ca = level < len(_AUTHORITIES)
    path_length = None if level == 0 else len(_AUTHORITIES) - 1 - level
    issuer = max(level - 1, 0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(level))
        .issuer_name(_name(issuer))
        .public_key(keys[_NAMES[level]].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(
            x509.BasicConstraints(ca=is_ca, path_length=path_length if is_ca else None),
            critical=True,
        )
        .add_extension(_usage(is_ca=is_ca), critical=is_ca)
    )
    return builder.sign(keys[_NAMES[issuer]], SHA384()).public_bytes(Encoding.DER)


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=not is_ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )
