# SPDX-License-Identifier: Apache-2.0
"""A simulated CCA machine: its platform attestation key and a realm's key in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from accord.encoding import Digest
from accord.evidence import Component, Evidence
from accord.policy import Family
from accord.testing._cose import (
    changed,
    cose_key,
    load_keys,
    raw_point,
    sign1,
    spki,
    spki_digest,
    store_keys,
)

_SCHEMA = "accord.simulated-cca.v1"
_SECRET_FILE = "cca.secret.json"  # noqa: S105 - a file name
_WHAT = "CCA platform"
_NAMES = ("cpak", "rak")
_COLLECTION, _CONCISE_WRAPPER, _EAT = 399, 907, 263
_PLATFORM, _REALM = 44234, 44241
_SECURED = 0x3000
_RMM_CLIENT = 1
_PRIVATE_MEC = 1
_SIGNER = hashlib.sha256(b"accord simulated CCA signer").digest()
_FIRMWARE = ("RSE_BL2", "AP_BL31", "RMM")
_NO_CHANGES: Mapping[int, Any] = MappingProxyType({})


@dataclass(frozen=True, repr=False)
class SimulatedCCA:
    """Stands for one machine and a realm: whoever holds its folder can forge its tokens."""

    cpak: ec.EllipticCurvePrivateKey
    rak: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, home: Path) -> SimulatedCCA:
        """A new machine in ``home``, or the one that is there."""
        keys = {name: ec.generate_private_key(ec.SECP384R1()) for name in _NAMES}
        store_keys(home / _SECRET_FILE, _SCHEMA, keys)
        return cls.load(home)

    @classmethod
    def load(cls, home: Path) -> SimulatedCCA:
        """The machine in ``home``. Raises ``SimulatorStateError`` or ``IdentityExposedError``."""
        keys, _ = load_keys(home / _SECRET_FILE, _SCHEMA, _NAMES, what=_WHAT)
        return cls(**keys)

    @property
    def root_digest(self) -> Digest:
        """The trust anchor to pin: the SHA-256 of the platform's public key."""
        return spki_digest(self.cpak)

    @property
    def anchors(self) -> tuple[Digest, ...]:
        return (self.root_digest,)

    @property
    def measurements(self) -> Mapping[str, bytes]:
        """What its tokens will show."""
        return MappingProxyType(
            {
                "rim": hashlib.sha256(b"accord simulated realm").digest(),
                **{f"rem{index}": bytes(32) for index in range(4)},
                "rpv": bytes(64),
                "implementation_id": hashlib.sha256(b"accord simulated CCA platform").digest(),
                "instance_id": b"\x01" + hashlib.sha256(raw_point(self.cpak)).digest(),
                "config": bytes((0xCF,)) * 4,
            }
        )

    @property
    def components(self) -> tuple[Component, ...]:
        """The firmware that the platform says it booted."""
        return tuple(
            Component("platform", name, hashlib.sha256(name.encode()).digest(), "1.0", _SIGNER)
            for name in _FIRMWARE
        )

    def collect(
        self,
        report_data: bytes,
        *,
        legacy: bool = False,
        platform: Mapping[int, Any] = _NO_CHANGES,
        realm: Mapping[int, Any] = _NO_CHANGES,
    ) -> Evidence:
        """A token of the realm that asked for it with ``report_data``.

        ``legacy`` is the encoding of RMM 1.0. ``platform`` and ``realm`` replace claims by
        their labels; None leaves one out.
        """
        key = raw_point(self.rak) if legacy else cose_key(self.rak)
        realm_claims = changed(self._realm(report_data, key, legacy=legacy), realm)
        platform_claims = changed(
            self._platform(hashlib.sha256(key).digest(), legacy=legacy), platform
        )
        tokens = {
            _PLATFORM: sign1(self.cpak, cbor2.dumps(platform_claims)),
            _REALM: sign1(self.rak, cbor2.dumps(realm_claims)),
        }
        return Evidence(Family.CCA, wrap(tokens, legacy=legacy), {"cpak": spki(self.cpak)})

    def _realm(self, report_data: bytes, key: bytes, *, legacy: bool) -> dict[int, Any]:
        claims: dict[int, Any] = {
            10: report_data,
            44235: self.measurements["rpv"],
            44236: "sha-256",
            44237: key,
            44238: self.measurements["rim"],
            44239: [self.measurements[f"rem{index}"] for index in range(4)],
            44240: "sha-256",
        }
        if not legacy:
            claims |= {
                265: "tag:arm.com,2024:realm#2.0.0",
                256: b"\x01" + hashlib.sha256(raw_point(self.rak)).digest(),
                44243: _PRIVATE_MEC,
            }
        return claims

    def _platform(self, challenge: bytes, *, legacy: bool) -> dict[int, Any]:
        claims: dict[int, Any] = {
            265: "http://arm.com/CCA-SSD/1.0.0",
            10: challenge,
            2396: self.measurements["implementation_id"],
            256: self.measurements["instance_id"],
            2401: self.measurements["config"],
            2395: _SECURED,
            2402: "sha-256",
            2399: [
                {1: item.name, 2: item.digest, 4: item.version, 5: item.signer, 6: "sha-256"}
                for item in self.components
            ],
            2400: "https://verifier.example",
        }
        if not legacy:
            claims |= {265: "tag:arm.com,2024:cca_platform#2.0.0", 2394: _RMM_CLIENT}
        return claims


def wrap(tokens: Mapping[int, bytes], *, legacy: bool) -> bytes:
    """Both tokens in one of both encodings."""
    if legacy:
        return cbor2.dumps(cbor2.CBORTag(_COLLECTION, dict(tokens)))
    records = {label: [_EAT, token] for label, token in tokens.items()}
    return cbor2.dumps(cbor2.CBORTag(_CONCISE_WRAPPER, records))
