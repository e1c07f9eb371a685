# SPDX-License-Identifier: Apache-2.0
"""A simulated SEV-SNP machine: AMD's authorities, a chip and its keys in a folder."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from accord.encoding import Digest, Fields, JSONValue, base64_encode, canonical_json, sha256
from accord.errors import EncodingError, SimulatorStateError
from accord.evidence import Evidence
from accord.evidence.amd import Product
from accord.policy import Family
from accord.testing import _files
from accord.testing._snp_pki import (
    RSA_BITS,
    KeyProfile,
    PrivateKey,
    issue_authorities,
    issue_key_certificate,
    issue_revocation_list,
)
from accord.testing._snp_report import SNPReport
from accord.testing._vendor import moment, take_key

_SCHEMA = "accord.simulated-snp.v1"
_SECRET_FILE = "snp.secret.json"  # noqa: S105 - a file name
_WHAT = "SNP platform"
_AUTHORITIES = ("ark", "ask", "asvk")
_KEYS = ("vcek", "vlek")
_CHIP_BYTES = 64
_TURIN_CHIP_BYTES = 8
_REPORT_DATA_BYTES = 64
_MAX_CERTIFICATE = 16 << 10

_GRACE = timedelta(days=1)
"""Certificates are dated back: clocks differ a little between machines."""

_TCB = {
    Product.MILAN: bytes((4, 0, 0, 0, 0, 0, 24, 219)),
    Product.GENOA: bytes((10, 0, 0, 0, 0, 0, 25, 84)),
    Product.TURIN: bytes((1, 1, 1, 4, 0, 0, 0, 77)),
}
_STEPPINGS = {Product.MILAN: "Milan-B0", Product.GENOA: "Genoa-B1", Product.TURIN: "Turin"}
_CPUID = {
    Product.MILAN: (0x19, 0x01, 1),
    Product.GENOA: (0x19, 0x11, 1),
    Product.TURIN: (0x1A, 0x02, 1),
}


@dataclass(frozen=True, repr=False)
class SimulatedSNP:
    """Stands for AMD and one machine: whoever holds its folder can forge its evidence.

    One chip stands for a chip of each product line; each line has its own root.
    """

    authorities: Mapping[str, rsa.RSAPrivateKey]
    keys: Mapping[str, ec.EllipticCurvePrivateKey]
    certificates: Mapping[Product, Mapping[str, bytes]]
    chip_seed: bytes
    now: datetime

    @classmethod
    def create(cls, home: Path, *, now: datetime | None = None) -> SimulatedSNP:
        """A new machine in ``home``, or the one that is there; a new one takes seconds (RSA)."""
        path = home / _SECRET_FILE
        if not path.exists():
            _files.write_once(path, canonical_json(_new_state(moment(now) - _GRACE)))
        return cls.load(home, now=now)

    @classmethod
    def load(cls, home: Path, *, now: datetime | None = None) -> SimulatedSNP:
        """The machine in ``home``. Raises ``SimulatorStateError`` or ``IdentityExposedError``."""
        path = home / _SECRET_FILE
        fields = _files.read_fields(path, what=_WHAT)
        try:
            return cls._read(fields, moment(now) - _GRACE)
        except (ValueError, TypeError, EncodingError) as exc:
            raise SimulatorStateError(what=_WHAT, path=path, detail=str(exc)) from exc

    @classmethod
    def _read(cls, fields: Fields, now: datetime) -> SimulatedSNP:
        fields.schema(_SCHEMA)
        authorities = {name: _take_rsa_key(fields, name) for name in _AUTHORITIES}
        keys = {name: take_key(fields, name) for name in _KEYS}
        certificates = {}
        for product in Product:
            listed = fields.object(product.value)
            certificates[product] = {
                name: listed.data(name, limit=_MAX_CERTIFICATE) for name in _AUTHORITIES
            }
            listed.end()
        chip_seed = fields.data("chip", size=_CHIP_BYTES)
        fields.end()
        return cls(
            MappingProxyType(authorities),
            MappingProxyType(keys),
            MappingProxyType(certificates),
            chip_seed,
            now,
        )

    @property
    def anchors(self) -> tuple[Digest, ...]:
        """The roots of all product lines, to be pinned."""
        return tuple(self.root_of(product) for product in Product)

    @property
    def root_digest(self) -> Digest:
        """The root of the product line that evidence comes from unless told otherwise."""
        return self.root_of(Product.GENOA)

    def root_of(self, product: Product) -> Digest:
        """The trust anchor of one product line."""
        return sha256(self.certificates[product]["ark"])

    def chip_id(self, product: Product) -> bytes:
        """The chip's identity, as long as that line's are."""
        return self.chip_seed[: _TURIN_CHIP_BYTES if product is Product.TURIN else _CHIP_BYTES]

    def report(self, product: Product, **overrides: Any) -> SNPReport:
        """The report of an ordinary guest on this machine, changed as told, unsigned."""
        tcb = _TCB[product]
        fields: dict[str, Any] = {
            "current_tcb": tcb,
            "reported_tcb": tcb,
            "committed_tcb": tcb,
            "launch_tcb": tcb,
            "cpuid": _CPUID[product],
            "chip_id": self.chip_id(product),
            "measurement": hashlib.sha384(b"accord simulated guest").digest(),
            "report_id": hashlib.sha256(b"report id" + self.chip_seed).digest(),
        }
        return SNPReport(**fields | overrides)

    def endorse(
        self,
        product: Product,
        signing_key: str,
        *,
        revoked: Iterable[str] | None = None,
        **profile: Any,
    ) -> dict[str, bytes]:
        """The endorsements of the VCEK or VLEK; ``profile`` changes what its certificate says.

        With ``revoked`` there is a revocation list of the root, that names these authorities.
        """
        loaded = signing_key == "vlek"
        says: dict[str, Any] = {
            "product": product,
            "product_name": product.value if loaded else _STEPPINGS[product],
            "tcb": _TCB[product],
            "chip_id": b"" if loaded else self.chip_id(product),
            "csp_id": "CN=simulated.accord.invalid",
        }
        authority = "asvk" if loaded else "ask"
        found = {
            signing_key: issue_key_certificate(
                KeyProfile(**says | profile),
                self.keys[signing_key],
                self.authorities[authority],
                now=self.now,
            ),
            authority: self.certificates[product][authority],
            "ark": self.certificates[product]["ark"],
        }
        if revoked is not None:
            root = self.authorities["ark"]
            found["crl"] = issue_revocation_list(product, root, revoked, now=self.now)
        return found

    def collect(
        self,
        report_data: bytes,
        *,
        product: Product = Product.GENOA,
        signing_key: str = "vcek",
        endorsed: Mapping[str, Any] = MappingProxyType({}),
        **overrides: Any,
    ) -> Evidence:
        """Evidence that carries ``report_data``.

        ``overrides`` changes fields of the report (`SNPReport`), ``endorsed`` what its key's
        certificate says instead (`endorse`); by itself that follows the report.
        """
        if len(report_data) != _REPORT_DATA_BYTES:
            message = f"report data must be {_REPORT_DATA_BYTES} bytes"
            raise ValueError(message)
        defaults: dict[str, Any] = {"signing_key": _KEYS.index(signing_key)}
        if signing_key == "vlek":
            defaults["chip_id"] = b""  # clouds that load keys mask their chips
        report = self.report(product, **defaults | overrides)
        endorsements = self.endorse(
            product, signing_key, **{"tcb": report.reported_tcb, **endorsed}
        )
        blob = report.sign(report_data, self.keys[signing_key])
        return Evidence(Family.SNP, blob, endorsements)


def _new_state(now: datetime) -> dict[str, JSONValue]:
    authorities = {name: rsa.generate_private_key(65537, RSA_BITS) for name in _AUTHORITIES}
    issued = {
        product.value: issue_authorities(product, authorities, now=now) for product in Product
    }
    keys = {name: ec.generate_private_key(ec.SECP384R1()) for name in _KEYS}
    named: list[tuple[str, PrivateKey]] = [*authorities.items(), *keys.items()]
    return {
        "schema": _SCHEMA,
        "chip": base64_encode(secrets.token_bytes(_CHIP_BYTES)),
        **{name: _encode_key(key) for name, key in named},
        **{
            product: {name: base64_encode(data) for name, data in certificates.items()}
            for product, certificates in issued.items()
        },
    }


def _encode_key(key: PrivateKey) -> str:
    return base64_encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def _take_rsa_key(fields: Fields, name: str) -> rsa.RSAPrivateKey:
    # Checking that its factors are prime would take half a second; we wrote it ourselves.
    key = load_der_private_key(fields.data(name), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        message = f"{name} is not an RSA key"
        raise ValueError(message)  # noqa: TRY004 - a fault of the bytes
    return key
