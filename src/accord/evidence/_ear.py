# SPDX-License-Identifier: Apache-2.0
"""EAT attestation results (draft-ietf-rats-ear), in JSON and in CBOR, unsigned."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

import cbor2

from accord.encoding import CBORValue, Fields, JSONValue, decode_cbor
from accord.errors import MalformedError

EAT_PROFILE = "tag:github.com,2023:veraison/ear"
"""The profile of draft-ietf-rats-ear, revisions 00 to 03."""

VECTOR = (
    "instance-identity",
    "configuration",
    "executables",
    "file-system",
    "hardware",
    "runtime-opaque",
    "storage-opaque",
    "sourced-data",
)
"""The trustworthiness vector; the index of a claim is its key in CBOR."""

MAX_NONCE_BYTES = 64
"""RFC 9711, 4.1: an EAT nonce has 8 to 64 bytes."""

MAX_RAW_EVIDENCE_BYTES = 512 << 10
"""Leaves room for the rest in a token of 1 MiB, also as base64."""

_KEYS = MappingProxyType(
    {
        "iss": 1,
        "exp": 4,
        "iat": 6,
        "eat_nonce": 10,
        "eat_profile": 265,
        "submods": 266,
        "ear.raw-evidence": 1002,
        "ear.verifier-id": 1004,
    }
)
_STATUS, _TRUST, _POLICY = "ear.status", "ear.trustworthiness-vector", "ear.appraisal-policy-id"
_SUBMODULE_KEYS = MappingProxyType({_STATUS: 1000, _TRUST: 1001, _POLICY: 1003})
_VERIFIER_KEYS = MappingProxyType({"developer": 0, "build": 1})
_OCTETS = ("eat_nonce", "ear.raw-evidence")
_LATEST = 253402300799
"""The end of the year 9999, in seconds: later ones no calendar of ours holds."""


class Tier(StrEnum):
    """How far an environment can be trusted (draft-ietf-rats-ar4si, 3.2)."""

    NONE = "none"
    AFFIRMING = "affirming"
    WARNING = "warning"
    CONTRAINDICATED = "contraindicated"

    @property
    def number(self) -> int:
        return _TIERS[self]

    @classmethod
    def of(cls, claims: Iterable[int]) -> Tier:
        """The tier of the worst of ``claims``; the sign of a claim only says who defined it."""
        worst = max((abs(claim) for claim in claims), default=0)
        return next(tier for tier in reversed(cls) if worst >= tier.number)


_TIERS = {Tier.NONE: 0, Tier.AFFIRMING: 2, Tier.WARNING: 32, Tier.CONTRAINDICATED: 96}


@dataclass(frozen=True, slots=True)
class Submodule:
    """The appraisal of one part; ``policy_id`` is None where no policy was asked."""

    status: Tier
    vector: Mapping[str, int]
    policy_id: str | None

    def to_json(self) -> JSONValue:
        written: dict[str, JSONValue] = {_STATUS: self.status.value, _TRUST: dict(self.vector)}
        return written if self.policy_id is None else {**written, _POLICY: self.policy_id}

    @classmethod
    def from_fields(cls, fields: Fields) -> Submodule:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        status, vector = fields.choice(_STATUS, Tier), fields.object(_TRUST)
        found = {
            name: vector.integer(name, minimum=-128, maximum=127)
            for name in VECTOR
            if vector.has(name)
        }
        vector.end()
        policy = fields.optional(_POLICY, fields.text)
        fields.end()
        if status.number < Tier.of(found.values()).number:
            detail = f"its status {status} is better than its trust vector"
            raise MalformedError(what=fields.where, detail=detail)
        return cls(status, MappingProxyType(found), policy)


@dataclass(frozen=True, slots=True)
class EAR:
    """An attestation result as others read it. Whether somebody signed it, it does not say.

    ``private`` are claims that the draft does not define, by name.
    """

    issued_at: datetime
    build: str
    developer: str
    submodules: Mapping[str, Submodule]
    nonce: bytes | None = None
    raw_evidence: bytes | None = None
    issuer: str | None = None
    expires: datetime | None = None
    private: Mapping[str, JSONValue] = field(default_factory=dict)

    def to_json(self) -> JSONValue:
        written: dict[str, JSONValue] = {
            "eat_profile": EAT_PROFILE,
            "iat": int(self.issued_at.timestamp()),
            "ear.verifier-id": {"build": self.build, "developer": self.developer},
            "submods": {name: item.to_json() for name, item in self.submodules.items()},
            **self.private,
        }
        optional: dict[str, JSONValue] = {
            "eat_nonce": None if self.nonce is None else base64url_encode(self.nonce),
            "ear.raw-evidence": (
                None if self.raw_evidence is None else base64url_encode(self.raw_evidence)
            ),
            "iss": self.issuer,
            "exp": None if self.expires is None else int(self.expires.timestamp()),
        }
        return written | {name: value for name, value in optional.items() if value is not None}

    @classmethod
    def from_json(cls, value: JSONValue, *, private: Iterable[str] = ()) -> EAR:
        """Reads a result of this profile; claims are refused unless named in ``private``.

        Nothing is verified. Raises ``MalformedError`` or ``UnsupportedFormatError``.
        """
        fields = Fields(value, "attestation result")
        fields.schema(EAT_PROFILE, "eat_profile")
        verifier, submodules = fields.object("ear.verifier-id"), fields.object("submods")
        names = submodules.names()
        if not names:
            raise MalformedError(what=submodules.where, detail="appraises nothing")
        ear = cls(
            issued_at=_time(fields, "iat"),
            build=verifier.text("build"),
            developer=verifier.text("developer"),
            submodules=MappingProxyType(
                {name: Submodule.from_fields(submodules.object(name)) for name in names}
            ),
            nonce=_octets(fields, "eat_nonce", MAX_NONCE_BYTES),
            raw_evidence=_octets(fields, "ear.raw-evidence", MAX_RAW_EVIDENCE_BYTES),
            issuer=fields.optional("iss", fields.text),
            expires=_time(fields, "exp") if fields.has("exp") else None,
            private={name: fields.take(name) for name in private if fields.has(name)},
        )
        verifier.end()
        fields.end()
        return ear

    def to_cbor(self) -> bytes:
        """The same claims in deterministic CBOR, under their numbers."""
        written = self.to_json()
        for name in _OCTETS:
            if name in written:
                written[name] = base64url_decode(written[name], what=name)
        written["ear.verifier-id"] = _numbered(written["ear.verifier-id"], _VERIFIER_KEYS)
        written["submods"] = {
            name: _submodule_to_cbor(item) for name, item in written["submods"].items()
        }
        return cbor2.dumps(_numbered(written, _KEYS), canonical=True)

    @classmethod
    def from_cbor(cls, data: bytes, *, private: Iterable[str] = ()) -> EAR:
        """Reads what `to_cbor` writes, and no other spelling of it; nothing is verified.

        Raises ``TooLargeError``, ``MalformedError`` or ``UnsupportedFormatError``.
        """
        what = "attestation result"
        written = _named(decode_cbor(data, what=what), _KEYS, what)
        for name in _OCTETS:
            if name in written:
                if not isinstance(written[name], bytes):
                    raise MalformedError(what=f"{what}.{name}", detail="expected bytes")
                written[name] = base64url_encode(written[name])
        verifier = written.get("ear.verifier-id")
        written["ear.verifier-id"] = _named(verifier, _VERIFIER_KEYS, what)
        submodules = _mapping(written.get("submods"), what)
        written["submods"] = {
            name: _submodule_from_cbor(item, what) for name, item in submodules.items()
        }
        ear = cls.from_json(written, private=private)
        for name, item in ear.private.items():
            _check_json(item, f"{what}.{name}")
        if ear.to_cbor() != data:
            raise MalformedError(what=what, detail="is not in deterministic CBOR")
        return ear


def base64url_encode(data: bytes) -> str:
    """Base64 for URLs without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str, *, what: str) -> bytes:
    """The bytes of ``text``; a second spelling is refused. Raises ``MalformedError``."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise MalformedError(what=what, detail="not base64url") from exc
    if base64url_encode(data) != text:
        raise MalformedError(what=what, detail="not base64url in its only spelling")
    return data


def _check_json(value: CBORValue, what: str) -> None:
    """Private claims are JSON: `EAR.to_cbor` writes neither bytes nor tags into them."""
    match value:
        case None | bool() | int() | float() | str():
            pass
        case list():
            for item in value:
                _check_json(item, what)
        case dict() if all(isinstance(name, str) for name in value):
            for item in value.values():
                _check_json(item, what)
        case _:
            raise MalformedError(what=what, detail="expected what JSON can say")


def _time(fields: Fields, name: str) -> datetime:
    return datetime.fromtimestamp(fields.integer(name, minimum=0, maximum=_LATEST), UTC)


def _octets(fields: Fields, name: str, limit: int) -> bytes | None:
    if not fields.has(name):
        return None
    text = fields.text(name, limit=limit * 4 // 3 + 4)
    data = base64url_decode(text, what=fields.path(name))
    if len(data) > limit:
        raise MalformedError(what=fields.path(name), detail=f"more than {limit} bytes")
    return data


def _numbered(value: Mapping[str, CBORValue], keys: Mapping[str, int]) -> CBORValue:
    return {keys.get(name, name): item for name, item in value.items()}


def _mapping(value: CBORValue, what: str) -> dict[CBORValue, CBORValue]:
    if not isinstance(value, dict):
        raise MalformedError(what=what, detail="expected a map")
    return value


def _named(value: CBORValue, keys: Mapping[str, int], what: str) -> dict[str, CBORValue]:
    """The map with the names of its keys; a name in place of its number stays unknown."""
    names = {number: name for name, number in keys.items()}
    found = {}
    for key, item in _mapping(value, what).items():
        if not isinstance(key, str | int) or key in keys:
            raise MalformedError(what=what, detail="has a claim under a name instead of a number")
        found[names.get(key, str(key)) if isinstance(key, int) else key] = item
    return found


def _submodule_to_cbor(item: Mapping[str, CBORValue]) -> CBORValue:
    numbered = dict(item)
    numbered[_STATUS] = Tier(item[_STATUS]).number
    numbered[_TRUST] = {VECTOR.index(name): value for name, value in item[_TRUST].items()}
    return _numbered(numbered, _SUBMODULE_KEYS)


def _submodule_from_cbor(value: CBORValue, what: str) -> CBORValue:
    item = _named(value, _SUBMODULE_KEYS, what)
    tiers = {tier.number: tier.value for tier in Tier}
    status = item.get(_STATUS)
    item[_STATUS] = tiers.get(status) if isinstance(status, int) else None
    aspects = {name: index for index, name in enumerate(VECTOR)}
    item[_TRUST] = _named(item.get(_TRUST), aspects, what)
    return item
