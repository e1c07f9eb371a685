# SPDX-License-Identifier: Apache-2.0
"""A simulated SGX enclave, on the same machine as simulated TDs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from accord.encoding import Digest
from accord.evidence import Evidence
from accord.evidence.intel import Collateral
from accord.policy import Family
from accord.testing._measure import measure_code
from accord.testing._platform import SimulatedPlatform, check_report_data
from accord.testing._quote import SGX_DEBUG, SGX_FLAGS, sgx_report, write_sgx_quote

_SIGNER = hashlib.sha256(b"accord simulated SGX signer").digest()
_XFRM = bytes.fromhex("e700000000000000")


@dataclass(frozen=True, repr=False)
class SimulatedSGX:
    """An `Attester` whose evidence verifies under its vendor's test root alone.

    ``measurements`` are MRENCLAVE and MRSIGNER: here, unlike in hardware, they are said.
    """

    platform: SimulatedPlatform
    measurements: Mapping[str, bytes]
    debug: bool = False

    @classmethod
    def create(cls, home: Path, *, now: datetime | None = None) -> SimulatedSGX:
        """A machine of its own in ``home``, running this program in an enclave."""
        return cls.on(SimulatedPlatform.with_vendor(home, now=now))

    @classmethod
    def load(cls, home: Path, *, now: datetime | None = None) -> SimulatedSGX:
        """What was created in ``home``. Raises ``SimulatorStateError``."""
        return cls.on(SimulatedPlatform.load_with_vendor(home, now=now))

    @classmethod
    def on(cls, platform: SimulatedPlatform, *, debug: bool = False) -> SimulatedSGX:
        """An enclave on ``platform`` that runs this program."""
        mrenclave = hashlib.sha256(measure_code()).digest()
        measured = MappingProxyType({"mrenclave": mrenclave, "mrsigner": _SIGNER})
        return cls(platform, measured, debug)

    @property
    def root_digest(self) -> Digest:
        return self.platform.vendor.root_digest

    @property
    def anchors(self) -> tuple[Digest, ...]:
        """What to pin so that its evidence verifies."""
        return (self.root_digest,)

    @property
    def collateral(self) -> Collateral:
        return self.platform.vendor.sgx_collateral

    def collect(self, report_data: bytes, **overrides: Any) -> Evidence:
        """Evidence that carries ``report_data``, with the collateral of when it was loaded.

        ``overrides`` are arguments of `accord.testing._quote.sgx_report`.
        """
        check_report_data(report_data)
        flags = SGX_FLAGS | (SGX_DEBUG if self.debug else 0)
        attributes = flags.to_bytes(8, "little") + _XFRM
        report = sgx_report(
            self.measurements, report_data, **{"attributes": attributes, **overrides}
        )
        blob = write_sgx_quote(
            report,
            attestation=self.platform.attestation_key,
            certification=self.platform.certifications[Family.SGX],
        )
        return Evidence(Family.SGX, blob, self.collateral.to_endorsements())

    def seal_key(self, label: str) -> bytes:
        """32 bytes that follow from platform, MRENCLAVE, debug bit and ``label``."""
        measured = b"sgx" + self.measurements["mrenclave"] + bytes([self.debug])
        return self.platform.seal(measured + label.encode())
