# SPDX-License-Identifier: Apache-2.0
"""A simulated PSA device: its initial attestation key in a folder."""

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
from accord.evidence import Component, Evidence, link
from accord.policy import Family
from accord.testing._cose import (
    changed,
    load_keys,
    raw_point,
    sign1,
    spki,
    spki_digest,
    store_keys,
)

RFC_9783 = "tag:psacertified.org,2023:psa#tfm"
PSA_2_0_0 = "http://arm.com/psa/2.0.0"
PSA_IOT_1 = "PSA_IOT_PROFILE_1"

_SCHEMA = "accord.simulated-psa.v1"
_SECRET_FILE = "psa.secret.json"  # noqa: S105 - a file name
_WHAT = "PSA device"
_KEY = "iak"
_SECURED = 0x3000
_SECURE_PARTITION = 2
_BASE_LABEL = 2393

_IMPLEMENTATION = hashlib.sha256(b"accord simulated PSA implementation").digest()
_SIGNER = hashlib.sha256(b"accord simulated PSA signer").digest()
_SOFTWARE = (("BL", "3.4.2"), ("PRoT", "1.6.0"), ("ARoT", "1.2.3"))

_IOT_1: Mapping[int, int] = MappingProxyType(
    # RFC 9783, 4.6: the labels of the oldest profile.
    {
        265: -75000,
        10: -75008,
        2394: -75001,
        256: -75009,
        2396: -75003,
        2395: -75002,
        268: -75004,
        2398: -75005,
        2399: -75006,
        2400: -75010,
    }
)


@dataclass(frozen=True, repr=False)
class SimulatedPSA:
    """Stands for one device: whoever holds its folder can forge its tokens."""

    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, home: Path) -> SimulatedPSA:
        """A new device in ``home``, or the one that is there."""
        key = ec.generate_private_key(ec.SECP256R1())
        store_keys(home / _SECRET_FILE, _SCHEMA, {_KEY: key})
        return cls.load(home)

    @classmethod
    def load(cls, home: Path) -> SimulatedPSA:
        """The device in ``home``. Raises ``SimulatorStateError`` or ``IdentityExposedError``."""
        keys, _ = load_keys(home / _SECRET_FILE, _SCHEMA, (_KEY,), what=_WHAT)
        return cls(keys[_KEY])

    @property
    def root_digest(self) -> Digest:
        """The trust anchor to pin: the SHA-256 of the device's public key."""
        return spki_digest(self.key)

    @property
    def anchors(self) -> tuple[Digest, ...]:
        return (self.root_digest,)

    @property
    def measurements(self) -> Mapping[str, bytes]:
        """What its tokens will show."""
        return MappingProxyType(
            {
                "implementation_id": _IMPLEMENTATION,
                "instance_id": b"\x01" + hashlib.sha256(raw_point(self.key)).digest(),
                "boot_seed": hashlib.sha256(b"accord simulated boot").digest(),
            }
        )

    @property
    def components(self) -> tuple[Component, ...]:
        """The software it says it booted."""
        return tuple(
            Component(kind, kind, hashlib.sha256(kind.encode()).digest(), version, _SIGNER)
            for kind, version in _SOFTWARE
        )

    def collect(
        self,
        report_data: bytes,
        *,
        profile: str = RFC_9783,
        short_nonce: bool = False,
        changes: Mapping[int, Any] = MappingProxyType({}),
        header: Mapping[Any, Any] | None = None,
    ) -> Evidence:
        """A token of a secure partition that asked for it with ``report_data``.

        ``short_nonce`` derives a nonce of 32 bytes from it. ``changes`` replaces claims by
        their labels in ``profile``; None leaves one out.
        """
        nonce = link(Family.PSA.value, report_data) if short_nonce else report_data
        claims: dict[int, Any] = {
            265: profile,
            10: nonce,
            _BASE_LABEL + 1: _SECURE_PARTITION,
            _BASE_LABEL + 2: _SECURED,
            _BASE_LABEL + 3: self.measurements["implementation_id"],
            256: self.measurements["instance_id"],
            268: self.measurements["boot_seed"],
            _BASE_LABEL + 5: "0604565272829-10010",
            _BASE_LABEL + 6: [
                {1: item.kind, 2: item.digest, 4: item.version, 5: item.signer, 6: "sha-256"}
                for item in self.components
            ],
            _BASE_LABEL + 7: "https://verifier.example",
        }
        if profile == PSA_IOT_1:
            claims = {_IOT_1[label]: value for label, value in claims.items()}
        blob = sign1(self.key, cbor2.dumps(changed(claims, changes)), header=header)
        return Evidence(Family.PSA, blob, {_KEY: spki(self.key)})
