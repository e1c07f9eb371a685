# SPDX-License-Identifier: Apache-2.0
"""Arm PSA attestation tokens, of all three profiles (docs/spec/evidence/psa.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from accord.encoding import Digest
from accord.errors import EvidenceMalformedError
from accord.evidence._claims import Claims, Component, Verified
from accord.evidence._cose import SIGN1, Sign1, parse_sign1, verify_sign1
from accord.evidence._evidence import Evidence, refuse_unknown
from accord.evidence._roots import root_kind
from accord.evidence.arm._fields import (
    HASH_BYTES,
    IMPLEMENTATION_ID_BYTES,
    ClaimsReader,
    Lifecycle,
    SoftwareComponent,
)
from accord.evidence.arm._keys import KeyNames, Signer, resolve_signer
from accord.policy import Family, Scalar

RFC_9783 = "tag:psacertified.org,2023:psa#tfm"
PSA_2_0_0 = "http://arm.com/psa/2.0.0"
PSA_IOT_1 = "PSA_IOT_PROFILE_1"

_WHAT = "PSA token"
_NAMES = KeyNames("initial attestation key", key="iak", certificate="iak_certificate")
_REPORT_DATA_BYTES = 64
_CLIENT_IDS = range(-(1 << 31), 1 << 31)
_BOOT_SEED_BYTES = range(8, 33)
_CERTIFICATION = re.compile(r"[0-9]{13}(?:-[0-9]{5})?")


@dataclass(frozen=True, slots=True)
class _Labels:
    """The numbers of the claims; those of the same claim differ between profiles."""

    profile: int
    nonce: int
    client_id: int
    instance_id: int
    implementation_id: int
    lifecycle: int
    boot_seeds: tuple[int, ...]
    certification_reference: int
    components: int
    no_measurements: int | None
    verification_service: int


# RFC 9783, 4 and 4.6; 2397 is the boot seed of drafts 08 to 10, which implementations kept.
_CURRENT = _Labels(265, 10, 2394, 256, 2396, 2395, (268, 2397), 2398, 2399, None, 2400)
# draft-tschofenig-rats-psa-token-07, 5.
_IOT_1 = _Labels(
    -75000, -75008, -75001, -75009, -75003, -75002, (-75004,), -75005, -75006, -75007, -75010
)


@dataclass(frozen=True, slots=True)
class PSAToken:
    """The claims of a PSA token (RFC 9783, 4).

    ``no_measurements`` is how the oldest profile says that it deliberately has no components.
    """

    profile: str
    nonce: bytes
    client_id: int
    instance_id: bytes
    implementation_id: bytes
    lifecycle: Lifecycle
    boot_seed: bytes | None
    certification_reference: str | None
    verification_service: str | None
    no_measurements: bool
    components: tuple[SoftwareComponent, ...]


@dataclass(frozen=True, slots=True)
class PSAEvidence:
    """A signed token taken apart."""

    message: Sign1
    token: PSAToken


def parse_psa(evidence: Evidence) -> PSAEvidence:
    """The token in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    message = parse_sign1(evidence.blob, what=_WHAT, tags=frozenset({SIGN1}))
    return PSAEvidence(message, _parse_token(message.payload))


def verify_psa(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of a PSA token and its nonce, which is *not* compared here.

    Raises the errors of family ATT.
    """
    # (1) One COSE_Sign1 under tag 18 (RFC 9783, 5.1.1; RFC 9052, 4.2), no COSE_Mac0.
    # (2) Claims of one known profile: all that are mandatory, with their types and sizes.
    parsed = parse_psa(evidence)
    refuse_unknown("attachments", evidence.aux)
    token = parsed.token
    # (3) The key of the device: pinned itself, or certified below a pinned root, and valid now.
    signer = resolve_signer(
        evidence.endorsements,
        _NAMES,
        implementation_id=token.implementation_id,
        instance_id=token.instance_id,
        anchors=anchors,
        now=now,
    )
    # (4) That key signed the token, with the algorithm of its curve (RFC 9052, 4.4).
    verify_sign1(
        parsed.message,
        signer.key,
        what=_WHAT,
        by=signer.what,
        # Before RFC 9783 tokens were made without any header; the key has one algorithm.
        algorithm_implied=token.profile != RFC_9783,
    )
    # (5) What it says; which lifecycle, caller and components suffice is policy.
    slot = "report_data" if len(token.nonce) == _REPORT_DATA_BYTES else Family.PSA.value
    return Verified(_claims(parsed, signer), MappingProxyType({slot: token.nonce}))


def _parse_token(payload: bytes) -> PSAToken:
    claims = ClaimsReader.from_payload(payload, _WHAT)
    labels = _IOT_1 if _IOT_1.nonce in claims.labels else _CURRENT
    seeds = [label for label in labels.boot_seeds if label in claims.labels]
    if len(seeds) > 1:
        raise claims.malformed("boot seed", "appears twice")
    lacks_components = labels.no_measurements is not None and (
        labels.no_measurements in claims.labels
    )
    if lacks_components and labels.no_measurements is not None:
        claims.integer(labels.no_measurements, "no software measurements", {1})
        if labels.components in claims.labels:
            raise claims.malformed("software components", "are there, and said not to be")
    client_id = claims.integer(labels.client_id, "client id", _CLIENT_IDS)
    if client_id == 0:
        raise claims.malformed("client id", "is 0, which is nobody's")
    certification = claims.optional_text(labels.certification_reference, "certification reference")
    if certification is not None and not _CERTIFICATION.fullmatch(certification):
        raise claims.malformed("certification reference", "is no EAN-13 with a version")
    return PSAToken(
        profile=_profile(claims, labels),
        nonce=claims.octets(labels.nonce, "nonce", HASH_BYTES),
        client_id=client_id,
        instance_id=claims.instance_id(labels.instance_id),
        implementation_id=claims.octets(
            labels.implementation_id, "implementation id", {IMPLEMENTATION_ID_BYTES}
        ),
        lifecycle=claims.lifecycle(labels.lifecycle),
        boot_seed=claims.octets(seeds[0], "boot seed", _BOOT_SEED_BYTES) if seeds else None,
        certification_reference=certification,
        verification_service=claims.optional_text(
            labels.verification_service, "verification service"
        ),
        no_measurements=lacks_components,
        components=() if lacks_components else claims.components(labels.components),
    )


def _profile(claims: ClaimsReader, labels: _Labels) -> str:
    """Its name. The oldest may be left out or be any text: its labels are nobody else's."""
    if labels is _IOT_1:
        return claims.optional_text(labels.profile, "profile") or PSA_IOT_1
    profile = claims.text(labels.profile, "profile")
    if profile not in {RFC_9783, PSA_2_0_0}:
        raise EvidenceMalformedError(what=_WHAT, detail=f"profile {profile!r} is not supported")
    return profile


def _claims(parsed: PSAEvidence, signer: Signer) -> Claims:
    token = parsed.token
    measurements: dict[str, bytes] = {
        "implementation_id": token.implementation_id,
        "instance_id": token.instance_id,
    }
    if token.boot_seed is not None:
        measurements["boot_seed"] = token.boot_seed
    attributes: Mapping[str, Scalar] = {
        "profile": token.profile,
        "lifecycle": token.lifecycle.state,
        "lifecycle_value": token.lifecycle.value,
        "client_id": token.client_id,
        # RFC 9783, 4.1.2: callers from the non-secure side have negative ids.
        "secure_caller": token.client_id > 0,
        "certification_reference": token.certification_reference or "",
        "algorithm_protected": parsed.message.algorithm is not None,
    }
    return Claims(
        family=Family.PSA,
        root=signer.root,
        root_kind=root_kind(signer.root),
        measurements=MappingProxyType(measurements),
        debug=token.lifecycle.is_debug,
        tcb=None,
        instance_id=token.instance_id,
        collateral_expires=signer.expires,
        attributes=MappingProxyType(dict(attributes)),
        components=tuple(
            Component(
                kind=item.measurement_type,
                name=item.measurement_type,
                digest=item.measurement,
                version=item.version,
                signer=item.signer,
            )
            for item in token.components
        ),
        chain=signer.chain,
    )
