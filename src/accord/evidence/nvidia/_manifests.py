# SPDX-License-Identifier: Apache-2.0
"""Whether reference manifests are NVIDIA's, and what a device measured is what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from accord.encoding import Digest
from accord.errors import (
    AnchorUnknownError,
    ChainInvalidError,
    CollateralMismatchError,
    EvidenceMalformedError,
    ReferenceMismatchError,
)
from accord.evidence._certificate import Certificate, load_certificates
from accord.evidence._chain import chain_expires, check_chain_period, verify_chain
from accord.evidence._roots import RootKind, root_kind
from accord.evidence.nvidia._rim import Manifest, load_manifest
from accord.evidence.nvidia._spdm import Report

MANIFEST_ROOT = Digest("sha256:12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1")
"""NVIDIA CoRIM signing Root CA."""

DRIVER, VBIOS = "driver_rim", "vbios_rim"
ROOT = "rim_root"

_NVDEC0_INDEX = 35
"""Measured only where the first video decoder is enabled."""

_ARCHITECTURE_LETTERS = 2
_GPUS = frozenset({"GH", "GB"})


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """A manifest that NVIDIA signed, and until when its chain is valid."""

    manifest: Manifest
    expires: datetime


def verify_manifest(
    data: bytes,
    root: bytes | None,
    *,
    what: str,
    device_root: Digest,
    anchors: Sequence[Digest],
    now: datetime,
) -> VerifiedManifest:
    """Steps (8) and (9) of docs/spec/evidence/nvidia.md, 4.

    ``root`` is the root's certificate, where the manifest does not carry it.
    """
    # (8) It is signed, and its signer's chain ends in a pinned root.
    signed = load_manifest(data, what=what)
    chain = _complete(signed.chain, root, what)
    if len(chain) < 2 or not chain[0].signs_data or chain[0].is_ca:  # noqa: PLR2004 - and a root
        raise ChainInvalidError(what=what, detail="its signer may not sign data")
    _check_role(verify_chain(chain, anchors=anchors, what=what), device_root, what)
    # (9) All of the chain is valid now.
    check_chain_period(chain, now)
    return VerifiedManifest(signed.manifest, chain_expires(chain))


def _complete(
    chain: tuple[Certificate, ...], root: bytes | None, what: str
) -> tuple[Certificate, ...]:
    """``chain`` up to a self-issued certificate."""
    if root is None or chain[-1].subject == chain[-1].issuer:
        return chain
    roots = load_certificates(root, what=f"root of {what}")
    if len(roots) != 1:
        raise EvidenceMalformedError(what=f"root of {what}", detail="not one certificate")
    return (*chain, *roots)


def _check_role(root: Certificate, device_root: Digest, what: str) -> None:
    """Anchors are one list, but a root stands for one thing: devices must not sign manifests.

    Nor does a test root vouch for a real device's firmware.
    """
    kind = root_kind(device_root)
    production = kind is RootKind.PRODUCTION
    if (
        root.digest == device_root
        or root_kind(root.digest) is not kind
        or (production and root.digest != MANIFEST_ROOT)
    ):
        expected = MANIFEST_ROOT if production else "a test root of its own"
        raise AnchorUnknownError(what=what, actual=root.digest, expected=expected)


def compare(report: Report, chip: str, manifests: Mapping[str, Manifest]) -> None:
    """Steps (10) to (12) of docs/spec/evidence/nvidia.md, 4.

    Measurements that no manifest names are *not* compared.

    Raises ``CollateralMismatchError`` or ``ReferenceMismatchError``.
    """
    # (10) The manifests are for this architecture, and the versions that the firmware reports.
    reported = {DRIVER: report.opaque.driver_version, VBIOS: report.opaque.vbios_version}
    for name, manifest in manifests.items():
        architectures = {item[:_ARCHITECTURE_LETTERS] for item in (chip, manifest.product)}
        # Manifests of switches name their product in more than one way.
        if len(architectures) > 1 and architectures & _GPUS:
            raise CollateralMismatchError(field="chip", actual=chip, expected=manifest.product)
        actual = reported[name] or "not reported"
        if actual.upper() != manifest.version.upper():
            raise CollateralMismatchError(
                field=name.replace("_rim", " version"), actual=actual, expected=manifest.version
            )
    # (11) No measurement is in both.
    indices = [index for manifest in manifests.values() for index in manifest.references]
    if len(set(indices)) != len(indices):
        raise CollateralMismatchError(
            field="a measurement", actual="in both manifests", expected="in one"
        )
    # (12) Each active measurement is one of its values. Index i is SPDM block i + 1.
    for manifest in manifests.values():
        for index, reference in manifest.references.items():
            if index == _NVDEC0_INDEX and report.opaque.nvdec0 is False:
                continue
            block = report.blocks.get(index + 1)
            if block is None or block.raw or block.value not in reference.values:
                raise ReferenceMismatchError(
                    block=index + 1,
                    name=reference.name,
                    what=manifest.what,
                    actual="absent" if block is None else block.value.hex(),
                    expected=" or ".join(value.hex() for value in reference.values) or "nothing",
                )
