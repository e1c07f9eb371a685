# SPDX-License-Identifier: Apache-2.0
"""Simulated vendors' files, in the forms in which real ones hand them out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from accord.collateral import Item, recognise
from accord.collateral._pieces import to_pem
from accord.encoding import Digest
from accord.evidence import Evidence, Role, load_certificates
from accord.evidence.intel import Collateral
from accord.testing import (
    SimulatedNVIDIA,
    SimulatedPlatform,
    SimulatedSNP,
    SimulatedVendor,
    simulated_measurements,
)

ASKED = bytes(range(64))
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Intel:
    """A vendor and one TDX machine."""

    home: Path

    @cached_property
    def vendor(self) -> SimulatedVendor:
        return SimulatedVendor.create(self.home / "vendor")

    @cached_property
    def collateral(self) -> Collateral:
        return self.vendor.collateral

    @property
    def anchors(self) -> tuple[Digest, ...]:
        return (self.vendor.root_digest,)

    @property
    def bundle(self) -> bytes:
        return json.dumps(self.collateral.to_json()).encode()

    @property
    def tcb_info(self) -> bytes:
        return self._signed("tcbInfo", self.collateral.tcb_info, self.collateral.tcb_info_signature)

    @property
    def qe_identity(self) -> bytes:
        return self._signed(
            "enclaveIdentity", self.collateral.qe_identity, self.collateral.qe_identity_signature
        )

    @staticmethod
    def _signed(member: str, text: str, signature: bytes) -> bytes:
        return f'{{"{member}":{text},"signature":"{signature.hex()}"}}'.encode()

    def evidence(self) -> Evidence:
        """A quote without collateral."""
        self.vendor  # noqa: B018 - made first
        platform = SimulatedPlatform.create(self.home / "platform", self.home / "vendor")
        whole = platform.attester(simulated_measurements(Role.SHIELD)).collect(ASKED)
        return Evidence(whole.family, whole.blob)


def items(*files: bytes) -> list[Item]:
    """Everything in ``files``."""
    return [
        item for index, data in enumerate(files) for item in recognise(data, what=f"file {index}")
    ]


def snp_files(simulated: SimulatedSNP) -> tuple[Evidence, bytes, bytes]:
    """A bare report, the DER of its VCEK, and the PEM of the chain above it."""
    whole = simulated.collect(ASKED)
    certificates = [
        certificate
        for data in whole.endorsements.values()
        if data[:2] == b"\x30\x82" or data.startswith(b"-----BEGIN")
        for certificate in _certificates(data)
    ]
    leaf = [item for item in certificates if item.what == "SEV-VCEK"]
    above = [item for item in certificates if item.what != "SEV-VCEK"]
    return Evidence(whole.family, whole.blob), leaf[0].der, to_pem(above)


def _certificates(data: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN202
    try:
        return load_certificates(data, what="endorsement")
    except Exception:  # noqa: BLE001 - a revocation list
        return ()


def nvidia_files(simulated: SimulatedNVIDIA) -> tuple[Evidence, dict[str, bytes]]:
    """A report with its chain alone, and the other endorsements."""
    whole = simulated.collect(ASKED)
    chain = {"certificate_chain": whole.endorsements["certificate_chain"]}
    return Evidence(whole.family, whole.blob, chain), dict(whole.endorsements)
