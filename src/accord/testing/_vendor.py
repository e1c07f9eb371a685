# SPDX-License-Identifier: Apache-2.0
"""A simulated CPU vendor: its keys, certificates and collateral in a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from accord.encoding import (
    Digest,
    Fields,
    base64_encode,
    canonical_json,
    sha256,
)
from accord.errors import EncodingError, SimulatorStateError
from accord.evidence.intel import Collateral
from accord.policy import Family
from accord.testing import _files
from accord.testing._pki import (
    VendorCertificates,
    VendorKeys,
    issue_collateral,
    issue_pck,
)

_SCHEMA = "accord.simulated-vendor.v1"
_COLLATERAL_SCHEMA = "accord.simulated-collateral.v1"
_SECRET_FILE = "vendor.secret.json"  # noqa: S105 - a file name
_COLLATERAL_FILE = "collateral.json"
_WHAT = "TEE vendor"

RENEW_AFTER = timedelta(days=15)
"""Collateral older than half its life is renewed when the vendor is loaded."""

_GRACE = timedelta(days=1)
"""Certificates and collateral are dated back: clocks differ a little between machines."""


def encode_key(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64_encode(der)


def take_key(fields: Fields, name: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 private key. Raises ``ValueError`` or ``MalformedError``."""
    key = load_der_private_key(fields.data(name), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        message = f"{name} is not an elliptic curve key"
        raise ValueError(message)  # noqa: TRY004 - a fault of the bytes
    return key


def moment(now: datetime | None) -> datetime:
    """``now``, or the clock's, in whole seconds."""
    return (now or datetime.now(UTC)).replace(microsecond=0)


@dataclass(frozen=True, repr=False)
class SimulatedVendor:
    """Stands for the CPU vendor: whoever holds its folder can forge any evidence under its root.

    Its root is a test root wherever it is pinned, because its digest is not a vendor's.
    """

    home: Path
    keys: VendorKeys
    certificates: VendorCertificates
    collateral: Collateral
    issued: datetime

    @classmethod
    def create(cls, home: Path, *, now: datetime | None = None) -> SimulatedVendor:
        """A new vendor in ``home``, or the one that is there."""
        keys = VendorKeys.generate()
        issued = VendorCertificates.issue(keys, now=moment(now) - _GRACE)
        document = {
            "schema": _SCHEMA,
            **{name: encode_key(getattr(keys, name)) for name in _NAMES},
            **{
                f"{name}_certificate": base64_encode(
                    getattr(issued, name).public_bytes(Encoding.DER)
                )
                for name in _NAMES
            },
        }
        _files.write_once(home / _SECRET_FILE, canonical_json(document))
        return cls.load(home, now=now)

    @classmethod
    def load(cls, home: Path, *, now: datetime | None = None) -> SimulatedVendor:
        """The vendor in ``home``; collateral that is missing or runs out is renewed.

        Raises ``SimulatorStateError`` or ``IdentityExposedError``.
        """
        path = home / _SECRET_FILE
        fields = _files.read_fields(path, what=_WHAT)
        try:
            fields.schema(_SCHEMA)
            keys = VendorKeys(*(take_key(fields, name) for name in _NAMES))
            certificates = VendorCertificates(
                *(
                    x509.load_der_x509_certificate(fields.data(f"{name}_certificate"))
                    for name in _NAMES
                )
            )
            fields.end()
        except (ValueError, TypeError, EncodingError) as exc:
            raise SimulatorStateError(what=_WHAT, path=path, detail=str(exc)) from exc
        collateral, issued = _load_collateral(home, keys, certificates, now=moment(now))
        return cls(home, keys, certificates, collateral, issued)

    @property
    def root_digest(self) -> Digest:
        """The trust anchor to pin."""
        return sha256(self.certificates.root.public_bytes(Encoding.DER))

    @property
    def sgx_collateral(self) -> Collateral:
        """What `collateral` is to TDX; it follows from it, since signatures are deterministic."""
        return issue_collateral(
            self.keys,
            self.certificates,
            now=self.issued - _GRACE,
            revoked=_revoked(self.collateral),
            tee=Family.SGX,
        )

    def issue_pck(
        self, key: ec.EllipticCurvePrivateKey, *, ppid: bytes, now: datetime | None = None
    ) -> bytes:
        """The PCK chain (PEM) of a platform with PCK key ``key``."""
        issued = moment(now) - _GRACE
        return issue_pck(self.keys, self.certificates, key, ppid=ppid, now=issued)

    def revoke(self, serial: int, *, now: datetime | None = None) -> SimulatedVendor:
        """The same vendor, with the PCK certificate ``serial`` revoked for good."""
        revoked = {*_revoked(self.collateral), serial}
        collateral = issue_collateral(
            self.keys, self.certificates, now=moment(now) - _GRACE, revoked=revoked
        )
        _store_collateral(self.home, collateral, now=moment(now))
        return replace(self, collateral=collateral, issued=moment(now))


_NAMES = ("root", "pck_ca", "tcb_signer")


def _revoked(collateral: Collateral) -> set[int]:
    return {item.serial_number for item in x509.load_der_x509_crl(collateral.pck_crl)}


def _store_collateral(home: Path, collateral: Collateral, *, now: datetime) -> None:
    document = {
        "schema": _COLLATERAL_SCHEMA,
        "issued": int(now.timestamp()),
        "collateral": collateral.to_json(),
    }
    _files.replace(home / _COLLATERAL_FILE, canonical_json(document))


def _load_collateral(
    home: Path, keys: VendorKeys, certificates: VendorCertificates, *, now: datetime
) -> tuple[Collateral, datetime]:
    """What is stored, renewed where half its time is over, and when; revocations are kept."""
    path, revoked = home / _COLLATERAL_FILE, set[int]()
    if path.exists():
        fields = _files.read_fields(path, what=_WHAT)
        try:
            fields.schema(_COLLATERAL_SCHEMA)
            issued = datetime.fromtimestamp(fields.integer("issued", minimum=0), UTC)
            collateral = Collateral.from_fields(fields.object("collateral"))
            fields.end()
            revoked = _revoked(collateral)
        except (ValueError, TypeError, EncodingError) as exc:
            raise SimulatorStateError(what=_WHAT, path=path, detail=str(exc)) from exc
        if issued <= now < issued + RENEW_AFTER:
            return collateral, issued
    collateral = issue_collateral(keys, certificates, now=now - _GRACE, revoked=revoked)
    _store_collateral(home, collateral, now=now)
    return collateral, now
