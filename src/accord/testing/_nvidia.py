# SPDX-License-Identifier: Apache-2.0
"""A simulated NVIDIA GPU, and the maker that signs its identity and its reference manifests."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from accord.encoding import Digest, Fields, canonical_json, sha256
from accord.errors import EncodingError, SimulatorStateError
from accord.evidence import Evidence, link
from accord.policy import Family
from accord.testing import _files
from accord.testing._nvidia_report import (
    GPUFirmware,
    dice_identity,
    write_manifest,
    write_report,
)
from accord.testing._vendor import encode_key, moment, take_key

_SCHEMA = "accord.simulated-nvidia.v1"
_SECRET_FILE = "nvidia.secret.json"  # noqa: S105 - a file name
_WHAT = "NVIDIA GPU"
_ORGANISATION = "Accord simulation (not hardware)"
_VALIDITY = timedelta(days=3650)
_GRACE = timedelta(days=1)
_DEVICE_ID_BYTES = 9
_MAX_CHAIN_BYTES = 32 << 10
_DICE = x509.ObjectIdentifier("2.23.133.5.4.1")
_KEYS = ("device", "attestation", "manifests")
_CHAINS = ("device_chain", "manifest_chain")


@dataclass(frozen=True, repr=False)
class SimulatedNVIDIA:
    """Stands for one GPU and for its maker: whoever holds its folder can forge its evidence.

    ``device`` is the key that the GPU has from its maker, which certifies ``attestation``,
    the key of its firmware; ``manifests`` signs reference manifests. Chains are PEM, leaf
    first; the device's leaf is made anew for each firmware.
    """

    device: ec.EllipticCurvePrivateKey
    attestation: ec.EllipticCurvePrivateKey
    manifests: ec.EllipticCurvePrivateKey
    device_chain: tuple[x509.Certificate, ...]
    manifest_chain: tuple[x509.Certificate, ...]

    @classmethod
    def create(cls, home: Path, *, now: datetime | None = None) -> SimulatedNVIDIA:
        """A new GPU of a new maker in ``home``, or the one that is there."""
        keys = {name: ec.generate_private_key(ec.SECP384R1()) for name in _KEYS}
        start = moment(now) - _GRACE
        device_names = (
            "GH100 A01 GSP BROM",
            "NVIDIA GH100 Provisioner ICA 1",
            "NVIDIA GH100 Identity",
            "NVIDIA Device Identity CA",
        )
        manifest_names = (
            "HCC RIM L4 Signer",
            "NVIDIA Reference Value L3 GH100 001",
            "NVIDIA Reference Value GH100 CA",
            "NVIDIA CoRIM signing Root CA",
        )
        serial = 0x41 << 64 | int.from_bytes(secrets.token_bytes(_DEVICE_ID_BYTES - 1), "big")
        chains = (
            _issue_chain(keys["device"], device_names, start, serial=serial, leaf_is_ca=True),
            _issue_chain(keys["manifests"], manifest_names, start),
        )
        document = {
            "schema": _SCHEMA,
            **{name: encode_key(key) for name, key in keys.items()},
            **{name: _pem(*chain) for name, chain in zip(_CHAINS, chains, strict=True)},
        }
        _files.write_once(home / _SECRET_FILE, canonical_json(document))
        return cls.load(home)

    @classmethod
    def load(cls, home: Path) -> SimulatedNVIDIA:
        """The GPU in ``home``. Raises ``SimulatorStateError`` or ``IdentityExposedError``."""
        path = home / _SECRET_FILE
        fields = _files.read_fields(path, what=_WHAT)
        try:
            fields.schema(_SCHEMA)
            device, attestation, manifests = (take_key(fields, name) for name in _KEYS)
            device_chain, manifest_chain = (_take_chain(fields, name) for name in _CHAINS)
            fields.end()
        except (ValueError, TypeError, EncodingError) as exc:
            raise SimulatorStateError(what=_WHAT, path=path, detail=str(exc)) from exc
        return cls(device, attestation, manifests, device_chain, manifest_chain)

    @property
    def root_digest(self) -> Digest:
        """The trust anchor of the device."""
        return sha256(self.device_chain[-1].public_bytes(Encoding.DER))

    @property
    def anchors(self) -> tuple[Digest, ...]:
        """The trust anchors to pin: of devices, and of reference manifests."""
        return (self.root_digest, sha256(self.manifest_chain[-1].public_bytes(Encoding.DER)))

    def chain(self, firmware: GPUFirmware, *, dice: bytes | None = None) -> bytes:
        """The certificates (PEM, leaf first) for a GPU that runs ``firmware``."""
        brom = self.device_chain[0]
        leaf = _certificate(
            f"{firmware.chip} A01 GSP FMC LF",
            self.attestation.public_key(),
            brom,
            self.device,
            start=brom.not_valid_before_utc,
            dice=dice_identity(self.attestation, firmware.fwid) if dice is None else dice,
        )
        return _pem(leaf, *self.device_chain).encode()

    def manifest(
        self, firmware: GPUFirmware, name: str, *, changed: Mapping[int, bytes] | None = None
    ) -> bytes:
        """The manifest ``driver_rim`` or ``vbios_rim`` for ``firmware``.

        ``changed`` replaces expected values, by index (block less one).
        """
        driver = name == "driver_rim"
        indices = range(21, 41) if driver else range(1, 13)
        blocks = firmware.blocks()
        references = {index: [(changed or {}).get(index, blocks[index + 1])] for index in indices}
        return write_manifest(
            self.manifests,
            [item.public_bytes(Encoding.DER) for item in self.manifest_chain],
            product=firmware.chip,
            version=firmware.driver_version if driver else firmware.vbios_version,
            references=references,
        )

    def collect(
        self,
        report_data: bytes,
        *,
        firmware: GPUFirmware | None = None,
        blocks: Mapping[int, bytes] | None = None,
        opaque: Mapping[int, bytes] | None = None,
        endorsements: Mapping[str, bytes] | None = None,
    ) -> Evidence:
        """Evidence whose nonce is linked to ``report_data``, with matching manifests.

        ``blocks`` and ``opaque`` replace single measurements and fields, ``endorsements``
        all that comes along.
        """
        runs = firmware or GPUFirmware()
        blob = write_report(
            self.attestation,
            link(Family.NVIDIA.value, report_data),
            runs.blocks() | dict(blocks or {}),
            runs.opaque() | dict(opaque or {}),
        )
        if endorsements is None:
            endorsements = {
                "certificate_chain": self.chain(runs),
                **{name: self.manifest(runs, name) for name in ("driver_rim", "vbios_rim")},
            }
        return Evidence(Family.NVIDIA, blob, endorsements)


def _take_chain(fields: Fields, name: str) -> tuple[x509.Certificate, ...]:
    pem = fields.text(name, limit=_MAX_CHAIN_BYTES).encode()
    return tuple(x509.load_pem_x509_certificates(pem))


def _pem(*certificates: x509.Certificate) -> str:
    return b"".join(item.public_bytes(Encoding.PEM) for item in certificates).decode()


def _issue_chain(
    key: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
    start: datetime,
    *,
    serial: int | None = None,
    leaf_is_ca: bool = False,
) -> tuple[x509.Certificate, ...]:
    """A certificate for ``key``, and authorities above it whose keys are then forgotten."""
    keys = [key, *(ec.generate_private_key(ec.SECP384R1()) for _ in names[1:])]
    chain: list[x509.Certificate] = []
    for depth in reversed(range(len(names))):
        issuer = chain[0] if chain else None
        certificate = _certificate(
            names[depth],
            keys[depth].public_key(),
            issuer,
            keys[min(depth + 1, len(keys) - 1)],
            start=start,
            serial=serial if depth == 0 else None,
            is_ca=depth > 0 or leaf_is_ca,
        )
        chain.insert(0, certificate)
    return tuple(chain)


def _certificate(
    common_name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    start: datetime,
    serial: int | None = None,
    is_ca: bool = False,
    dice: bytes = b"",
) -> x509.Certificate:
    """The serial number follows from the key, as in NVIDIA's certificates of firmware keys."""
    subject_id = x509.SubjectKeyIdentifier.from_public_key(key)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    own = int.from_bytes(subject_id.digest, "big") & ((1 << 159) - 1) | 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key)
        .serial_number(own if serial is None else serial)
        .not_valid_before(start)
        .not_valid_after(start + _VALIDITY)
        .add_extension(usage, critical=True)
        .add_extension(subject_id, critical=False)
    )
    if is_ca:
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    if dice:
        builder = builder.add_extension(x509.UnrecognizedExtension(_DICE, dice), critical=False)
    return builder.sign(issuer_key, SHA384(), ecdsa_deterministic=True)
