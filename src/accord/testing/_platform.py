# SPDX-License-Identifier: Apache-2.0
"""A simulated SGX and TDX machine: PCK key, attestation key, sealing secret in a folder."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from accord.encoding import Digest, base64_encode, canonical_json
from accord.errors import EncodingError, SimulatorStateError
from accord.evidence import Evidence, Role
from accord.evidence.intel import Collateral
from accord.policy import Family
from accord.testing import _files
from accord.testing._measure import simulated_measurements
from accord.testing._quote import DEBUG, SEPT_VE_DISABLE, TDX_REGISTERS, certify, write_quote
from accord.testing._vendor import SimulatedVendor, encode_key, take_key

_SCHEMA = "accord.simulated-platform.v1"
_SECRET_FILE = "platform.secret.json"  # noqa: S105 - a file name
_VENDOR_FOLDER, _PLATFORM_FOLDER = "vendor", "platform"
_WHAT = "SGX and TDX platform"
_REPORT_DATA_BYTES = 64
_REGISTER_BYTES = 48
_PPID_BYTES = 16
_SEAL_SECRET_BYTES = 32
_SEAL_LABEL = b"accord/simulated-seal/v1\0"


@dataclass(frozen=True, repr=False)
class SimulatedPlatform:
    """Stands for one machine's silicon: whoever holds its folder can forge its evidence."""

    vendor: SimulatedVendor
    pck_chain: bytes
    attestation_key: ec.EllipticCurvePrivateKey
    certifications: Mapping[Family, bytes]
    seal_secret: bytes

    @classmethod
    def with_vendor(cls, home: Path, *, now: datetime | None = None) -> SimulatedPlatform:
        """The platform below ``home``, new or not, of a vendor that is there too."""
        SimulatedVendor.create(home / _VENDOR_FOLDER, now=now)
        return cls.create(home / _PLATFORM_FOLDER, home / _VENDOR_FOLDER, now=now)

    @classmethod
    def load_with_vendor(cls, home: Path, *, now: datetime | None = None) -> SimulatedPlatform:
        """What `with_vendor` made. Raises ``SimulatorStateError``."""
        return cls.load(home / _PLATFORM_FOLDER, now=now)

    @classmethod
    def create(
        cls, home: Path, vendor_home: Path, *, now: datetime | None = None
    ) -> SimulatedPlatform:
        """A new platform in ``home`` of the vendor in ``vendor_home``, or the one there."""
        if not (home / _SECRET_FILE).exists():
            vendor = SimulatedVendor.load(vendor_home, now=now)
            pck = ec.generate_private_key(ec.SECP256R1())
            chain = vendor.issue_pck(pck, ppid=secrets.token_bytes(_PPID_BYTES), now=now)
            document = {
                "schema": _SCHEMA,
                "vendor_home": str(vendor_home.resolve()),
                "pck": encode_key(pck),
                "pck_chain": chain.decode(),
                "attestation": encode_key(ec.generate_private_key(ec.SECP256R1())),
                "seal_secret": base64_encode(secrets.token_bytes(_SEAL_SECRET_BYTES)),
            }
            _files.write_once(home / _SECRET_FILE, canonical_json(document))
        return cls.load(home, now=now)

    @classmethod
    def load(cls, home: Path, *, now: datetime | None = None) -> SimulatedPlatform:
        """The platform in ``home``, with its vendor's current collateral.

        Raises ``SimulatorStateError`` or ``IdentityExposedError``.
        """
        path = home / _SECRET_FILE
        fields = _files.read_fields(path, what=_WHAT)
        try:
            fields.schema(_SCHEMA)
            vendor_home = Path(fields.text("vendor_home"))
            pck = take_key(fields, "pck")
            chain = fields.text("pck_chain", limit=16 << 10).encode()
            attestation = take_key(fields, "attestation")
            seal_secret = fields.data("seal_secret", size=_SEAL_SECRET_BYTES)
            fields.end()
        except (ValueError, TypeError, EncodingError) as exc:
            raise SimulatorStateError(what=_WHAT, path=path, detail=str(exc)) from exc
        vendor = SimulatedVendor.load(vendor_home, now=now)
        certifications = {
            tee: certify(pck, attestation, chain, tee=tee) for tee in (Family.SGX, Family.TDX)
        }
        return cls(vendor, chain, attestation, MappingProxyType(certifications), seal_secret)

    @property
    def pck_serial(self) -> int:
        """What `SimulatedVendor.revoke` needs to revoke this platform."""
        return x509.load_pem_x509_certificate(self.pck_chain).serial_number

    def seal(self, info: bytes) -> bytes:
        """32 bytes that follow from this platform and ``info``."""
        return HKDF(SHA256(), 32, salt=None, info=_SEAL_LABEL + info).derive(self.seal_secret)

    def attester(self, measurements: Mapping[str, bytes], *, debug: bool = False) -> SimulatedTDX:
        """An environment that claims ``measurements``: here, unlike in hardware, they are said.

        Raises ``ValueError`` for names or sizes that TDX does not have: a bug of the caller.
        """
        sizes = {name: len(value) for name, value in measurements.items()}
        if sizes != dict.fromkeys(TDX_REGISTERS, _REGISTER_BYTES):
            message = "measurements must be exactly the registers of TDX"
            raise ValueError(message)
        return SimulatedTDX(self, MappingProxyType(dict(measurements)), debug)


@dataclass(frozen=True, repr=False)
class SimulatedTDX:
    """An `Attester` whose evidence verifies under its vendor's test root alone."""

    platform: SimulatedPlatform
    measurements: Mapping[str, bytes]
    debug: bool = False

    @classmethod
    def create(cls, home: Path, *, now: datetime | None = None) -> SimulatedTDX:
        """A machine of its own in ``home``, running this program as a shield."""
        platform = SimulatedPlatform.with_vendor(home, now=now)
        return platform.attester(simulated_measurements(Role.SHIELD))

    @classmethod
    def load(cls, home: Path, *, now: datetime | None = None) -> SimulatedTDX:
        """What was created in ``home``. Raises ``SimulatorStateError``."""
        platform = SimulatedPlatform.load_with_vendor(home, now=now)
        return platform.attester(simulated_measurements(Role.SHIELD))

    @property
    def root_digest(self) -> Digest:
        return self.platform.vendor.root_digest

    @property
    def anchors(self) -> tuple[Digest, ...]:
        """What to pin so that its evidence verifies."""
        return (self.root_digest,)

    @property
    def collateral(self) -> Collateral:
        return self.platform.vendor.collateral

    def collect(self, report_data: bytes, **overrides: Any) -> Evidence:
        """Evidence that carries ``report_data``, with the collateral of when it was loaded.

        ``overrides`` are arguments of `accord.testing._quote.write_quote`: version, body,
        attributes and versions that the hardware would report.
        """
        check_report_data(report_data)
        blob = write_quote(
            self.measurements,
            report_data,
            **{
                "attestation": self.platform.attestation_key,
                "certification": self.platform.certifications[Family.TDX],
                "td_attributes": SEPT_VE_DISABLE | (DEBUG if self.debug else 0),
                **overrides,
            },
        )
        return Evidence(Family.TDX, blob, self.collateral.to_endorsements())

    def seal_key(self, label: str) -> bytes:
        """32 bytes that follow from platform, every register, debug bit and ``label``."""
        registers = b"".join(self.measurements[name] for name in sorted(self.measurements))
        return self.platform.seal(registers + bytes([self.debug]) + label.encode())


def check_report_data(report_data: bytes) -> None:
    """Raises ``ValueError`` for another size: a bug of the caller."""
    if len(report_data) != _REPORT_DATA_BYTES:
        message = f"report data must be {_REPORT_DATA_BYTES} bytes"
        raise ValueError(message)
