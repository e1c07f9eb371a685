# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's reference manifests: which driver or firmware each is for, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accord.collateral._keys import MANIFEST
from accord.errors import EvidenceMalformedError
from accord.evidence import Certificate, Evidence, load_certificates
from accord.evidence.nvidia import NVIDIAEvidence, load_manifest, parse_nvidia

CHAIN, DRIVER, VBIOS, ROOT = "certificate_chain", "driver_rim", "vbios_rim", "rim_root"


def manifest_key(data: bytes, *, what: str) -> tuple[str, tuple[Certificate, ...]]:
    """What a manifest is about, and the certificates that came with it.

    That the first of them signed it is verified, whether it may is not. Raises
    ``EvidenceMalformedError`` or ``EvidenceSignatureError``.
    """
    signed = load_manifest(data, what=what)
    manifest = signed.manifest
    return MANIFEST.format(product=manifest.product, version=manifest.version), signed.chain


def manifest_name(data: bytes, evidence: Evidence, *, what: str) -> str:
    """Whether a manifest is for the driver or for the VBIOS that ``evidence`` names.

    By the version; where it fits neither, by its shape, and verification will refuse it.
    """
    version = load_manifest(data, what=what).manifest.version.upper()
    opaque = _parsed(evidence).report.opaque
    if version == (opaque.vbios_version or "").upper():
        return VBIOS
    if version == (opaque.driver_version or "").upper():
        return DRIVER
    return VBIOS if version.count(".") > 2 else DRIVER  # noqa: PLR2004 - as in 550.144.03


@dataclass(frozen=True, slots=True)
class Device:
    """Which manifests a report needs; nothing is verified."""

    chip: str
    driver: str | None
    vbios: str | None
    board: str | None

    @property
    def keys(self) -> dict[str, str]:
        """Keys in the cache by the endorsement's name."""
        versions = {DRIVER: self.driver, VBIOS: self.vbios}
        return {
            name: MANIFEST.format(product=self.chip, version=version)
            for name, version in versions.items()
            if version
        }

    @property
    def ids(self) -> dict[str, str]:
        """The names of the manifests at NVIDIA's RIM service, by the endorsement's name."""
        switch = self.chip.startswith("LS")
        ids = {}
        if self.driver and not switch:
            ids[DRIVER] = f"NV_GPU_DRIVER_{self.chip}_{self.driver}"
        if self.vbios and self.board:
            kind = "NV_SWITCH_BIOS" if switch else "NV_GPU_VBIOS"
            ids[VBIOS] = f"{kind}_{self.board}_{self.vbios.replace('.', '')}"
        return ids


def device_of(evidence: Evidence) -> Device:
    """The device that ``evidence`` says it is from. Raises ``EvidenceMalformedError``."""
    opaque = _parsed(evidence).report.opaque
    chain: Sequence[Certificate] = load_certificates(
        evidence.endorsements.get(CHAIN, b""), what="NVIDIA certificate chain"
    )
    if len(chain) < 2:  # noqa: PLR2004 - attestation key, device
        raise EvidenceMalformedError(what="NVIDIA certificate chain", detail="it names no device")
    parts = (opaque.project, opaque.project_sku, opaque.chip_sku)
    return Device(
        chip=chain[1].what.partition(" ")[0],
        driver=opaque.driver_version,
        vbios=opaque.vbios_version,
        board="_".join(part.strip() for part in parts if part) if all(parts) else None,
    )


def _parsed(evidence: Evidence) -> NVIDIAEvidence:
    return parse_nvidia(evidence)
