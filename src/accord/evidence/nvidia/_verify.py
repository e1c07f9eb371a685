# SPDX-License-Identifier: Apache-2.0
"""Verification of an NVIDIA attestation report (docs/spec/evidence/nvidia.md, 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384

from accord.encoding import Digest
from accord.errors import (
    AnchorUnknownError,
    ChainInvalidError,
    CollateralMismatchError,
    EvidenceMalformedError,
)
from accord.evidence._certificate import Certificate, load_certificates
from accord.evidence._chain import chain_expires, check_chain_period, endorsers, verify_chain
from accord.evidence._claims import Claims, Verified
from accord.evidence._evidence import Evidence
from accord.evidence._roots import RootKind, root_kind
from accord.evidence._signature import verify_raw_ecdsa
from accord.evidence.nvidia._dice import FirmwareIdentity, firmware_identity
from accord.evidence.nvidia._manifests import (
    DRIVER,
    MANIFEST_ROOT,
    ROOT,
    VBIOS,
    VerifiedManifest,
    compare,
    verify_manifest,
)
from accord.evidence.nvidia._rim import Manifest, parse_manifest
from accord.evidence.nvidia._spdm import Report, parse_report
from accord.policy import FAMILIES, Family, Scalar

DEVICE_ROOT = Digest("sha256:102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48")
"""NVIDIA Device Identity CA."""

_CHAIN = "certificate_chain"
_CHAIN_LENGTH = 5
_WHAT = "NVIDIA certificate chain"
_ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {"GH": "hopper", "GB": "blackwell", "LS": "nvswitch"}
)
_SWITCH = "nvswitch"

__all__ = ["DEVICE_ROOT", "MANIFEST_ROOT", "NVIDIAEvidence", "parse_nvidia", "verify_nvidia"]


@dataclass(frozen=True, slots=True)
class NVIDIAEvidence:
    """Evidence taken apart: the report, and the manifests that came along."""

    report: Report
    manifests: Mapping[str, Manifest]


def parse_nvidia(evidence: Evidence) -> NVIDIAEvidence:
    """The evidence's parts, nothing verified. Raises ``EvidenceMalformedError``."""
    manifests = {
        name: parse_manifest(evidence.endorsements[name], what=name)
        for name in (DRIVER, VBIOS)
        if name in evidence.endorsements
    }
    return NVIDIAEvidence(parse_report(evidence.blob), MappingProxyType(manifests))


def verify_nvidia(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of a GPU's or switch's report and its nonce, which is *not* compared here.

    Whether a certificate was revoked is *not* checked: NVIDIA only says so online (OCSP).

    Raises the errors of family ATT.
    """
    # (1) The bytes are a report whose lengths add up; only what is known comes along.
    report = parse_report(evidence.blob)
    _check_attachments(evidence)
    # (2) and (3) The device's certificates, up to a root that is pinned for devices.
    chain = _verify_device(evidence.endorsements[_CHAIN], anchors=anchors)
    check_chain_period(chain, now)
    # (4) The attestation key signed request and response.
    _verify_report(report, chain[0])
    # (5) and (6) The firmware that holds the key is the one that the report names.
    identity = _firmware(report, chain[0])
    # (7) Which chip it is.
    chip = chain[1].what.partition(" ")[0]
    # (8) to (12) Driver and firmware are what NVIDIA says they are.
    manifests = {
        name: verify_manifest(
            evidence.endorsements[name],
            evidence.endorsements.get(ROOT),
            what=name,
            device_root=chain[-1].digest,
            anchors=anchors,
            now=now,
        )
        for name in (DRIVER, VBIOS)
        if name in evidence.endorsements
    }
    compare(report, chip, {name: item.manifest for name, item in manifests.items()})
    return Verified(
        _claims(report, chain, identity, chip, manifests),
        MappingProxyType({Family.NVIDIA.value: report.nonce}),
    )


def _check_attachments(evidence: Evidence) -> None:
    known = {_CHAIN, DRIVER, VBIOS, ROOT}
    unknown = (evidence.endorsements.keys() - known) | evidence.aux.keys()
    if unknown or _CHAIN not in evidence.endorsements:
        detail = f"{min(unknown)} is not known" if unknown else f"{_CHAIN} is missing"
        raise EvidenceMalformedError(what="NVIDIA evidence", detail=detail)


def _verify_device(pem: bytes, *, anchors: Sequence[Digest]) -> tuple[Certificate, ...]:
    """Step (2): attestation key, device identity, and three authorities."""
    chain = load_certificates(pem, what=_WHAT)
    if len(chain) != _CHAIN_LENGTH:
        raise ChainInvalidError(
            what=_WHAT, detail=f"it has {len(chain)} certificates, expected {_CHAIN_LENGTH}"
        )
    root = verify_chain(chain, anchors=anchors, what=_WHAT).digest
    # Anchors are one list for all families: another vendor's root stands for no GPU, nor does
    # the root of manifests.
    if root_kind(root) is RootKind.PRODUCTION and root != DEVICE_ROOT:
        raise AnchorUnknownError(what=_WHAT, actual=root, expected=DEVICE_ROOT)
    if chain[0].is_ca or not chain[0].signs_data or chain[1].serial <= 0:
        raise ChainInvalidError(what=_WHAT, detail="its leaf is not an attestation key's")
    return chain


def _verify_report(report: Report, leaf: Certificate) -> None:
    """Step (4): ECDSA on P-384 with SHA-384, r and s of 48 bytes each (DSP0274, 10.11.2)."""
    if not isinstance(leaf.key, ec.EllipticCurvePublicKey) or leaf.key.curve.name != "secp384r1":
        raise ChainInvalidError(what=_WHAT, detail="its attestation key is not on P-384")
    verify_raw_ecdsa(
        leaf.key, report.signature, report.signed, SHA384(), what="NVIDIA report", by=leaf.what
    )


def _firmware(report: Report, leaf: Certificate) -> FirmwareIdentity | None:
    """Steps (5) and (6). A switch's report names no firmware; then the certificate's counts."""
    # (5) What the certificate says of the firmware.
    identity = firmware_identity(leaf.extensions)
    # (6) The report says the same.
    if report.opaque.fwid is not None:
        certified = "nothing" if identity is None else identity.fwid.hex()
        if report.opaque.fwid.hex() != certified:
            raise CollateralMismatchError(
                field="firmware id", actual=report.opaque.fwid.hex(), expected=certified
            )
    return identity


def _claims(
    report: Report,
    chain: tuple[Certificate, ...],
    identity: FirmwareIdentity | None,
    chip: str,
    manifests: Mapping[str, VerifiedManifest],
) -> Claims:
    measurements = {
        name: block.value
        for index, block in sorted(report.blocks.items())
        if not block.raw and (name := f"block{index:02}") in FAMILIES[Family.NVIDIA].measurements
    }
    if identity is not None:
        measurements["fwid"] = identity.fwid
    serial, root = chain[1].serial, chain[-1].digest
    return Claims(
        family=Family.NVIDIA,
        root=root,
        root_kind=root_kind(root),
        measurements=MappingProxyType(measurements),
        debug=identity is not None and identity.debug,
        tcb=None,
        instance_id=serial.to_bytes((serial.bit_length() + 7) // 8, "big"),
        collateral_expires=min(
            [chain_expires(chain), *(item.expires for item in manifests.values())]
        ),
        attributes=MappingProxyType(_attributes(report, chain, chip, frozenset(manifests))),
        chain=endorsers(chain),
    )


def _attributes(
    report: Report, chain: tuple[Certificate, ...], chip: str, compared: frozenset[str]
) -> dict[str, Scalar]:
    """What the report does not say is left out, so that no policy can mistake it."""
    opaque = report.opaque
    architecture = _ARCHITECTURES.get(chip[:2], "unknown")
    needed = {VBIOS} if architecture == _SWITCH else {DRIVER, VBIOS}
    branch = (opaque.driver_version or "").partition(".")[0]
    said: dict[str, Scalar | None] = {
        "architecture": architecture,
        "hwmodel": chain[1].what,
        "driver_version": opaque.driver_version,
        "driver_branch": int(branch) if branch.isascii() and branch.isdigit() else None,
        "vbios_version": opaque.vbios_version,
        "mode": opaque.mode,
        "protected_pcie": opaque.protected_pcie,
        "board_id": opaque.board_id,
        "chip_sku": opaque.chip_sku,
        "project": opaque.project,
        "project_sku": opaque.project_sku,
        "measurement_count": len(report.blocks),
        "measurement_counts": ",".join(map(str, opaque.measurement_counts)),
        "rim_compared": needed <= compared,
    }
    return {name: value for name, value in said.items() if value is not None}
