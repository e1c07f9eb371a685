# SPDX-License-Identifier: Apache-2.0
"""A simulated machine with a TPM: a software TPM, and a maker that certifies its keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from accord.attesters._tpm_commands import (
    AK_P256,
    AK_RSA2048,
    EK_P256,
    EK_RSA2048,
    ENDORSEMENT,
    TPM,
)
from accord.encoding import Digest, base64_encode, canonical_json, sha256
from accord.errors import EncodingError, SimulatorStateError
from accord.evidence import Evidence, link
from accord.evidence.tpm import (
    AKEnrolment,
    format_registers,
    pack_quote,
    parse_public,
)
from accord.policy import Family
from accord.testing import _files
from accord.testing._pki import CERTIFICATE_VALIDITY
from accord.testing._swtpm import SoftwareTPM
from accord.testing._tpm_boot import (
    Measured,
    SimulatedBoot,
    boot_aggregate,
    write_event_log,
    write_ima_log,
)
from accord.testing._vendor import encode_key, moment, take_key

_SCHEMA = "accord.simulated-tpm.v1"
_SECRET_FILE = "tpm.secret.json"  # noqa: S105 - a file name
_STATE_FOLDER = "state"
_WHAT: Final = "TPM"
_GRACE = timedelta(days=1)
_REPORT_DATA_BYTES = 64
_IMA_REGISTER = 10
_NAMES = ("root", "ek", "ak")

_PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
KeyKind = Literal["p256", "rsa2048"]
_TEMPLATES: Mapping[str, tuple[bytes, bytes]] = {
    "p256": (EK_P256, AK_P256),
    "rsa2048": (EK_RSA2048, AK_RSA2048),
}

Selection = Mapping[str, Iterable[int]]
QUOTED: Final[Selection] = {"sha256": range(16)}
"""What is quoted unless said otherwise: all that is not reset while a machine runs."""


@dataclass(frozen=True, repr=False)
class SimulatedTPM:
    """Stands for one machine's TPM: whoever holds its folder can forge its evidence.

    The TPM is real software with real commands; what is simulated is that it lies open, and
    that its maker's root is our own. It is switched on for each piece of evidence.
    """

    home: Path
    kind: KeyKind
    certificates: Mapping[str, x509.Certificate]
    boot: SimulatedBoot = field(default_factory=SimulatedBoot)

    @classmethod
    def create(
        cls, home: Path, *, kind: KeyKind = "p256", now: datetime | None = None
    ) -> SimulatedTPM:
        """A new TPM in ``home``, enrolled by its maker, or the one that is there.

        Raises ``SimulatedTPMMissingError`` or ``SimulatorStateError``.
        """
        if not (home / _SECRET_FILE).exists():
            issued = moment(now) - _GRACE
            root_key = ec.generate_private_key(ec.SECP256R1())
            with SoftwareTPM(home / _STATE_FOLDER) as machine:
                certificates = _enrol(machine.tpm, kind, root_key, now=issued)
            document = {
                "schema": _SCHEMA,
                "kind": kind,
                "root_key": encode_key(root_key),
                **{
                    name: base64_encode(certificate.public_bytes(Encoding.DER))
                    for name, certificate in zip(_NAMES, certificates, strict=True)
                },
            }
            _files.write_once(home / _SECRET_FILE, canonical_json(document))
        return cls.load(home)

    @classmethod
    def load(cls, home: Path) -> Self:
        """The TPM in ``home``. Raises ``SimulatorStateError`` or ``IdentityExposedError``."""
        path = home / _SECRET_FILE
        fields = _files.read_fields(path, what=_WHAT)
        try:
            fields.schema(_SCHEMA)
            kind: KeyKind = "p256" if fields.text("kind") == "p256" else "rsa2048"
            take_key(fields, "root_key")
            certificates = {
                name: x509.load_der_x509_certificate(fields.data(name)) for name in _NAMES
            }
            fields.end()
        except (ValueError, TypeError, EncodingError) as exc:
            raise SimulatorStateError(what=_WHAT, path=path, detail=str(exc)) from exc
        return cls(home, kind, certificates)

    @property
    def root_digest(self) -> Digest:
        """The trust anchor to pin: the maker's root."""
        return sha256(self.certificates["root"].public_bytes(Encoding.DER))

    @property
    def anchors(self) -> tuple[Digest, ...]:
        """What to pin so that its evidence verifies."""
        return (self.root_digest,)

    @property
    def ak_digest(self) -> Digest:
        """The trust anchor to pin where the key is trusted without its certificate."""
        key = self.certificates["ak"].public_key()
        return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    @property
    def endorsements(self) -> Mapping[str, bytes]:
        """What vouches for the attestation key."""
        return {
            "ak_certificate": self.certificates["ak"].public_bytes(Encoding.DER),
            "ak_chain": self.certificates["root"].public_bytes(Encoding.PEM),
        }

    def collect(
        self,
        report_data: bytes,
        *,
        boot: SimulatedBoot | None = None,
        selection: Selection = QUOTED,
    ) -> Evidence:
        """Evidence of a fresh start of ``boot``, bound to ``report_data``."""
        with self.running(boot or self.boot) as machine:
            return machine.evidence(
                Family.TPM, report_data, selection=selection, endorsements=self.endorsements
            )

    @contextmanager
    def running(self, boot: SimulatedBoot) -> Iterator[RunningTPM]:
        """The machine from the moment ``boot`` has started until it is switched off."""
        with SoftwareTPM(self.home / _STATE_FOLDER) as machine:
            yield RunningTPM.started(machine, boot, self.kind)


@dataclass(frozen=True, repr=False)
class RunningTPM:
    """A machine that is switched on: its TPM, its attestation key, its logs."""

    machine: SoftwareTPM
    ak_public: bytes
    ak: int
    logs: Mapping[str, bytes]

    @classmethod
    def started(cls, machine: SoftwareTPM, boot: SimulatedBoot, kind: KeyKind) -> RunningTPM:
        """Measures ``boot`` into the TPM, as its firmware and its kernel would."""
        tpm, events = machine.tpm, boot.events()
        for event in events:
            tpm.pcr_extend(event.index, event.digests())
        values = tpm.pcr_read({"sha256": range(10)})
        entries = boot.ima_entries(
            boot_aggregate({index: value for (_, index), value in values.items()})
        )
        for template, _, _ in entries:
            extend(tpm, _IMA_REGISTER, template)
        ak_public, ak = tpm.create_primary(ENDORSEMENT, _TEMPLATES[kind][1])
        logs = {"event_log": write_event_log(events), "ima_log": write_ima_log(entries)}
        return cls(machine, ak_public, ak, logs)

    def evidence(
        self,
        family: Family,
        report_data: bytes,
        *,
        selection: Selection,
        endorsements: Mapping[str, bytes],
    ) -> Evidence:
        """A quote of ``selection``, bound to ``report_data``, with all logs."""
        if len(report_data) != _REPORT_DATA_BYTES:
            message = f"report data must be {_REPORT_DATA_BYTES} bytes"
            raise ValueError(message)
        tpm, bound = self.machine.tpm, link(family.value, report_data)
        attested, signature = tpm.quote(self.ak, bound, selection)
        registers = format_registers(tpm.pcr_read(selection))
        aux = {"ak_public": self.ak_public, "pcrs": registers, **self.logs}
        return Evidence(family, pack_quote(attested, signature), endorsements, aux)


def extend(tpm: TPM, index: int, content: bytes) -> None:
    """Extends a register with the digest of ``content``, in every bank."""
    tpm.pcr_extend(index, Measured(index, 0, content, b"").digests())


def _enrol(
    tpm: TPM, kind: KeyKind, root_key: ec.EllipticCurvePrivateKey, *, now: datetime
) -> tuple[x509.Certificate, x509.Certificate, x509.Certificate]:
    """Root, EK certificate and AK certificate; the latter only after credential activation."""
    ek_template, ak_template = _TEMPLATES[kind]
    ek_public, ek = tpm.create_primary(ENDORSEMENT, ek_template)
    ak_public, ak = tpm.create_primary(ENDORSEMENT, ak_template)
    root = _certificate("Accord simulated TPM maker", root_key.public_key(), root_key, now=now)
    ek_certificate = _certificate(
        "Simulated endorsement key", _key(ek_public), root_key, now=now, purpose="2.23.133.8.1"
    )
    enrolment = AKEnrolment.start(
        ak_public=ak_public,
        ek_public=ek_public,
        endorsements={
            "ek_certificate": ek_certificate.public_bytes(Encoding.DER),
            "ek_chain": root.public_bytes(Encoding.PEM),
        },
        anchors=(sha256(root.public_bytes(Encoding.DER)),),
        now=now,
        entropy=secrets.token_bytes,
    )
    credential = enrolment.credential
    enrolment.finish(
        tpm.activate_credential(ak, ek, credential.id_object, credential.encrypted_secret)
    )
    ak_certificate = _certificate(
        "Simulated attestation key", _key(ak_public), root_key, now=now, purpose="2.23.133.8.3"
    )
    return root, ek_certificate, ak_certificate


def _key(public: bytes) -> _PublicKey:
    return parse_public(public).key


def _certificate(
    name: str,
    key: _PublicKey,
    root_key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
    purpose: str = "",
) -> x509.Certificate:
    """A root, or with ``purpose`` the certificate of a TPM's key."""

    def named(common_name: str) -> x509.Name:
        organisation = "Accord simulation (not hardware)"
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            ]
        )

    signs = purpose != "2.23.133.8.1"
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named("Accord simulated TPM maker"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + CERTIFICATE_VALIDITY)
        .add_extension(x509.BasicConstraints(not purpose, None if purpose else 1), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=bool(purpose) and signs,
                content_commitment=False,
                key_encipherment=not signs,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=not purpose,
                crl_sign=not purpose,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if purpose:
        usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(root_key, SHA256())
