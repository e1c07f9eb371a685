# SPDX-License-Identifier: Apache-2.0
"""Arm CCA attestation tokens: a realm's, and its platform's (docs/spec/evidence/cca.md)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec

from accord.encoding import CBORValue, Digest, Tagged
from accord.errors import (
    DebugRefusedError,
    EnvironmentRefusedError,
    EvidenceMalformedError,
    KeyNotBoundError,
)
from accord.evidence._cbor import read_cbor
from accord.evidence._claims import Claims, Component, Verified
from accord.evidence._cose import (
    SIGN1,
    Sign1,
    load_cose_key,
    load_raw_point,
    parse_sign1,
    verify_sign1,
)
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

COLLECTION, CONCISE_WRAPPER = 399, 907
"""CBOR tags of the collection: of RMM 1.0, and a CMW (draft-ffm-rats-cca-token)."""

PLATFORM_LABEL, REALM_LABEL = 44234, 44241
EAT_CONTENT_FORMAT = 263
"""CoAP content format of application/eat+cwt, the type of both entries of a CMW."""

LEGACY_PROFILE = "http://arm.com/CCA-SSD/1.0.0"
PLATFORM_PROFILES = frozenset(
    {
        LEGACY_PROFILE,
        "tag:arm.com,2023:cca_platform#1.0.0",
        "tag:arm.com,2024:cca_platform#2.0.0",
    }
)
REALM_PROFILES = frozenset({"tag:arm.com,2023:realm#1.0.0", "tag:arm.com,2024:realm#2.0.0"})

_WHAT, _PLATFORM, _REALM = "CCA token", "CCA platform token", "CCA realm token"
_RAK = "realm attestation key (RAK)"
_NAMES = KeyNames("CCA platform attestation key", key="cpak", certificate="cpak_certificate")
_TAGS = frozenset({SIGN1})
_COLLECTION_TYPE = "__cmwc_t"
_CHALLENGE_BYTES = 64
_RPV_BYTES = 64
_REGISTERS = 4
_MAX_CONFIG_BYTES = 64
_MAX_KEY_BYTES = 512
_UNCOMPRESSED = b"\x04"
_CLIENT_ID = 2394
_RMM_CLIENT = 1
_HASHES = frozenset({"sha-256", "sha-384", "sha-512"})
_MEC_POLICIES: Mapping[CBORValue, str] = MappingProxyType(
    # RMM specification, A7.2.3.1.8; texts in draft-ffm-rats-cca-token-03.
    {0: "shared", 1: "private", "shared": "shared", "private": "private"}
)
_LFA_POLICIES: Mapping[CBORValue, str] = MappingProxyType({0: "disallow", 1: "allow"})


@dataclass(frozen=True, slots=True)
class PlatformToken:
    """What hardware and firmware say of themselves (RMM specification, A7.2.3.3)."""

    profile: str
    challenge: bytes
    implementation_id: bytes
    instance_id: bytes
    config: bytes
    lifecycle: Lifecycle
    hash_algorithm: str
    client_id: int | None
    verification_service: str | None
    components: tuple[SoftwareComponent, ...]


@dataclass(frozen=True, slots=True)
class RealmToken:
    """What the realm management monitor says of a realm (RMM specification, A7.2.3.1).

    ``public_key`` is the key that signs it, as it was encoded. ``mec_policy`` says whether
    the realm's memory encryption key is its own, ``lfa_policy`` whether firmware may be
    exchanged below it while it runs; both are empty where the monitor does not say.
    """

    profile: str | None
    challenge: bytes
    personalization_value: bytes
    initial_measurement: bytes
    extensible_measurements: tuple[bytes, ...]
    hash_algorithm: str
    public_key: bytes
    public_key_hash_algorithm: str
    mec_policy: str
    lfa_policy: str
    devices_hash: bytes | None


@dataclass(frozen=True, slots=True)
class CCAEvidence:
    """Both signed tokens taken apart."""

    platform_message: Sign1
    platform: PlatformToken
    realm_message: Sign1
    realm: RealmToken


def parse_cca(evidence: Evidence) -> CCAEvidence:
    """Both tokens in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    platform_data, realm_data = _take_collection(read_cbor(evidence.blob, what=_WHAT))
    platform = parse_sign1(platform_data, what=_PLATFORM, tags=_TAGS)
    realm = parse_sign1(realm_data, what=_REALM, tags=_TAGS)
    parsed = CCAEvidence(
        platform,
        _parse_platform(ClaimsReader.from_payload(platform.payload, _PLATFORM)),
        realm,
        _parse_realm(ClaimsReader.from_payload(realm.payload, _REALM)),
    )
    # The oldest realm tokens have no profile, and only they.
    if (parsed.platform.profile == LEGACY_PROFILE) != (parsed.realm.profile is None):
        raise EvidenceMalformedError(
            what=_WHAT,
            detail=f"profiles {parsed.platform.profile} and {parsed.realm.profile} do not match",
        )
    return parsed


def verify_cca(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of a CCA token and the realm's challenge, which is *not* compared here.

    Raises the errors of family ATT.
    """
    # (1) A collection of two COSE_Sign1 tokens, in one of both encodings.
    # (2) Claims of known profiles: all that are mandatory, with their types and sizes.
    parsed = parse_cca(evidence)
    refuse_unknown("attachments", evidence.aux)
    platform, realm = parsed.platform, parsed.realm
    # (3) The platform's key: pinned itself, or certified below a pinned root, and valid now.
    signer = resolve_signer(
        evidence.endorsements,
        _NAMES,
        implementation_id=platform.implementation_id,
        instance_id=platform.instance_id,
        anchors=anchors,
        now=now,
    )
    # (4) That key signed the platform token (RMM specification, A7.2.2).
    verify_sign1(parsed.platform_message, signer.key, what=_PLATFORM, by=signer.what)
    # (5) The platform token was made for the realm's key: its challenge is the key's hash.
    _check_bound(platform, realm)
    # (6) The realm's key signed the realm token.
    verify_sign1(parsed.realm_message, _realm_key(realm), what=_REALM, by=_RAK)
    # (7) Nobody debugs the platform, and the monitor asked for the platform token.
    _check_platform(platform)
    # (8) What both say; which measurements and lifecycle suffice is policy.
    return Verified(_claims(parsed, signer), MappingProxyType({"report_data": realm.challenge}))


def _take_collection(value: CBORValue) -> tuple[bytes, bytes]:
    """Platform token and realm token."""
    tag = value.tag if isinstance(value, Tagged) else None
    entries = value.value if isinstance(value, Tagged) else None
    if tag not in {COLLECTION, CONCISE_WRAPPER} or not isinstance(entries, Mapping):
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"not a map under tag {COLLECTION} or {CONCISE_WRAPPER}"
        )
    known = {PLATFORM_LABEL, REALM_LABEL}
    # A CMW collection may say its type (draft-ietf-rats-msg-wrap, 3.3).
    found = entries.keys() - ({_COLLECTION_TYPE} if tag == CONCISE_WRAPPER else set())
    if found != known:
        raise EvidenceMalformedError(
            what=_WHAT, detail="it must have one platform token, one realm token, nothing else"
        )
    tokens = []
    for label in (PLATFORM_LABEL, REALM_LABEL):
        entry = entries[label]
        if tag == CONCISE_WRAPPER:
            entry = _unwrap(entry)
        if not isinstance(entry, bytes):
            raise EvidenceMalformedError(what=_WHAT, detail=f"entry {label} is not a token")
        tokens.append(entry)
    return tokens[0], tokens[1]


def _unwrap(record: CBORValue) -> CBORValue:
    """The value of a CMW record: type, value (draft-ietf-rats-msg-wrap, 3.1)."""
    if not isinstance(record, list) or len(record) != 2 or record[0] != EAT_CONTENT_FORMAT:  # noqa: PLR2004
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"an entry is not of type {EAT_CONTENT_FORMAT}"
        )
    return record[1]


def _parse_platform(claims: ClaimsReader) -> PlatformToken:
    profile = claims.text(265, "profile")
    if profile not in PLATFORM_PROFILES:
        raise claims.malformed("profile", f"{profile!r} is not supported")
    has_client = _CLIENT_ID in claims.labels or profile.endswith("#2.0.0")
    return PlatformToken(
        profile=profile,
        challenge=claims.octets(10, "challenge", HASH_BYTES),
        implementation_id=claims.octets(2396, "implementation id", {IMPLEMENTATION_ID_BYTES}),
        instance_id=claims.instance_id(256),
        config=claims.octets(2401, "config", range(1, _MAX_CONFIG_BYTES + 1)),
        lifecycle=claims.lifecycle(2395),
        hash_algorithm=claims.text(2402, "hash algorithm"),
        client_id=claims.integer(_CLIENT_ID, "client id", range(1 << 31)) if has_client else None,
        verification_service=claims.optional_text(2400, "verification service"),
        components=claims.components(2399),
    )


def _parse_realm(claims: ClaimsReader) -> RealmToken:
    profile = claims.optional_text(265, "profile")
    if profile is not None and profile not in REALM_PROFILES:
        raise claims.malformed("profile", f"{profile!r} is not supported")
    registers = claims.array(44239, "extensible measurements")
    measured = tuple(
        item for item in registers if isinstance(item, bytes) and len(item) in HASH_BYTES
    )
    if not len(measured) == len(registers) == _REGISTERS:
        raise claims.malformed("extensible measurements", "are not four hashes")
    return RealmToken(
        profile=profile,
        challenge=claims.octets(10, "challenge", {_CHALLENGE_BYTES}),
        personalization_value=claims.octets(44235, "personalization value", {_RPV_BYTES}),
        initial_measurement=claims.octets(44238, "initial measurement", HASH_BYTES),
        extensible_measurements=measured,
        hash_algorithm=claims.text(44236, "hash algorithm"),
        public_key=claims.octets(44237, "public key", range(1, _MAX_KEY_BYTES + 1)),
        public_key_hash_algorithm=claims.text(44240, "public key hash algorithm"),
        mec_policy=claims.optional_choice(44243, "MEC policy", _MEC_POLICIES),
        lfa_policy=claims.optional_choice(44244, "LFA policy", _LFA_POLICIES),
        devices_hash=claims.optional_octets(44257, "devices token hash", HASH_BYTES),
    )


def _check_bound(platform: PlatformToken, realm: RealmToken) -> None:
    """Step (5): RMM specification, A7.2.3.3.2. The key is hashed as the realm token has it."""
    name = realm.public_key_hash_algorithm
    if name not in _HASHES:
        raise EvidenceMalformedError(what=_REALM, detail=f"hash {name!r} is not supported")
    actual = hashlib.new(name.replace("-", ""), realm.public_key).digest()
    if not hmac.compare_digest(actual, platform.challenge):
        raise KeyNotBoundError(
            key=_RAK, token=_PLATFORM, actual=actual.hex(), expected=platform.challenge.hex()
        )


def _realm_key(realm: RealmToken) -> ec.EllipticCurvePublicKey:
    """A point in the oldest profile, a COSE key since; the first byte of one is not the other's."""
    if realm.public_key.startswith(_UNCOMPRESSED):
        return load_raw_point(realm.public_key, what=_RAK)
    return load_cose_key(realm.public_key, what=_RAK)


def _check_platform(platform: PlatformToken) -> None:
    """Step (7): RMM specification, A7.2.3.3.7 and A7.2.3.3.11."""
    if platform.lifecycle.is_debug:
        raise DebugRefusedError(family=Family.CCA.value, actual=f"{platform.lifecycle.value:#06x}")
    if platform.client_id not in {None, _RMM_CLIENT}:
        raise EnvironmentRefusedError(
            field="client id", actual=platform.client_id, expected=_RMM_CLIENT
        )


def _claims(parsed: CCAEvidence, signer: Signer) -> Claims:
    platform, realm = parsed.platform, parsed.realm
    measurements: Mapping[str, bytes] = {
        "rim": realm.initial_measurement,
        **{f"rem{index}": item for index, item in enumerate(realm.extensible_measurements)},
        "rpv": realm.personalization_value,
        "implementation_id": platform.implementation_id,
        "instance_id": platform.instance_id,
        "config": platform.config,
    }
    attributes: Mapping[str, Scalar] = {
        "platform_profile": platform.profile,
        "realm_profile": realm.profile or "",
        "lifecycle": platform.lifecycle.state,
        "lifecycle_value": platform.lifecycle.value,
        "hash_algorithm": realm.hash_algorithm,
        "platform_hash_algorithm": platform.hash_algorithm,
        "mec_policy": realm.mec_policy,
        "lfa_policy": realm.lfa_policy,
        "devices_assigned": realm.devices_hash is not None,
    }
    return Claims(
        family=Family.CCA,
        root=signer.root,
        root_kind=root_kind(signer.root),
        measurements=MappingProxyType(dict(measurements)),
        debug=False,
        tcb=None,
        instance_id=platform.instance_id,
        collateral_expires=signer.expires,
        attributes=MappingProxyType(dict(attributes)),
        components=tuple(
            Component(
                kind="platform",
                name=item.measurement_type,
                digest=item.measurement,
                version=item.version,
                signer=item.signer,
            )
            for item in platform.components
        ),
        chain=signer.chain,
    )
