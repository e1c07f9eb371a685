# SPDX-License-Identifier: Apache-2.0
"""Secrets as a policy declares them: of what kind, from where, and for whom else.

A policy names its secrets and never holds one. docs/reference/secrets.md lists the fields.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from accord.encoding import NAME, Digest, Fields, JSONValue, base64_encode
from accord.errors import MalformedError, PolicyContentError
from accord.identity import VerifyKey
from accord.policy._names import parse_asset_name, parse_policy_name

MAX_SECRETS = 128
"""Most secrets of one policy: making them all must not keep a board waiting."""

MAX_RSA_KEYS = 4
"""Most RSA keys of one policy; each takes the trust service a good part of a second."""

MAX_CHAIN = 8
"""Longest chain of certificates, from one to its root."""

MIN_SIZE, MAX_SIZE = 16, 4096
"""Sizes of random values: 16 characters of ``ascii`` have 95 bits, enough not to be guessed."""

MAX_VALID_DAYS = 3650
MAX_ROTATE = 1_000_000
MAX_SAN = 32
MAX_COMMON_NAME = 64
"""``ub-common-name`` of RFC 5280, appendix A.1, in characters."""

AUTHORITY = "authority"
"""What templates call the certificate of the policy's own authority."""

IDENTITY = "identity"
"""What templates call the key and the certificate that a service got from that authority."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_URI = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+")
URL = re.compile(r"https://[!-~]{1,512}")


class SecretKind(StrEnum):
    """What a secret is, and where its value comes from."""

    ASCII = "ascii"
    BINARY = "binary"
    KEY = "key"
    PUBLIC_KEY = "public-key"
    X509_CA = "x509-ca"
    X509 = "x509"
    JWT_KEY = "jwt-key"
    ASSET = "asset"
    """A value that a member deposited, under terms of its owner."""

    IMPORT = "import"
    """A secret that another policy exports to this one."""


class KeyAlgorithm(StrEnum):
    """Algorithms of key pairs."""

    ED25519 = "ed25519"
    P256 = "p256"
    P384 = "p384"
    RSA_3072 = "rsa-3072"


class JWTAlgorithm(StrEnum):
    """Signature algorithms of RFC 7518 and RFC 8037."""

    ES256 = "ES256"
    ES384 = "ES384"
    EDDSA = "EdDSA"


class Endpoint(StrEnum):
    """The end of a TLS connection that a certificate is for."""

    SERVER = "server"
    CLIENT = "client"


GENERATED_KINDS = frozenset(SecretKind) - {SecretKind.ASSET, SecretKind.IMPORT}
RAW_KINDS = frozenset({SecretKind.ASCII, SecretKind.BINARY, SecretKind.ASSET})
"""Kinds whose value is some bytes and nothing else."""

CERTIFICATE_KINDS = frozenset({SecretKind.X509, SecretKind.X509_CA})

_MADE_AT_RANDOM = GENERATED_KINDS - {SecretKind.PUBLIC_KEY}


@dataclass(frozen=True, slots=True)
class PeerService:
    """A board on another trust service, pinned by the key that signs its log."""

    board: Digest
    log_key: VerifyKey
    url: str | None = None
    """Where it answers; an importer says so, an exporter need not know."""

    @classmethod
    def from_fields(cls, fields: Fields, *, with_url: bool) -> PeerService:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        key = VerifyKey(fields.data("log_key", size=32))
        url = fields.text("url") if with_url else None
        if url is not None and not URL.fullmatch(url):
            raise MalformedError(what=fields.path("url"), detail="expected an https:// address")
        peer = cls(fields.digest("board"), key, url)
        fields.end()
        return peer

    def to_json(self) -> JSONValue:
        document = {"board": self.board, "log_key": base64_encode(self.log_key.raw)}
        return document if self.url is None else {**document, "url": self.url}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSpec:
    """One secret. Each kind has the fields of its row in docs/reference/secrets.md, no others."""

    kind: SecretKind
    rotate: int = 0
    """Another number than before: the value is made anew."""

    migrate: bool = False
    """Of key pairs: kept by the next version, if that says so too."""

    size: int | None = None
    algorithm: KeyAlgorithm | JWTAlgorithm | None = None
    of: str | None = None
    key: str | None = None
    issuer: str | None = None
    common_name: str | None = None
    endpoint: Endpoint | None = None
    san: tuple[str, ...] = ()
    valid_days: int | None = None
    asset: str | None = None
    policy: str | None = None
    secret: str | None = None
    pin: Digest | None = None
    """The only version of the exporting policy that is trusted."""

    service: PeerService | None = None

    @classmethod
    def from_fields(cls, fields: Fields) -> SecretSpec:
        """Reads and ends ``fields``; whether what it refers to exists is *not* checked here.

        Raises ``MalformedError`` or ``PolicyContentError``.
        """
        kind = fields.choice("kind", SecretKind)
        rotate = 0
        if kind in _MADE_AT_RANDOM and fields.has("rotate"):
            rotate = fields.integer("rotate", minimum=0, maximum=MAX_ROTATE)
        spec = _READERS[kind](fields, kind, rotate)
        fields.end()
        return spec

    def to_json(self) -> JSONValue:
        """The fields of its kind, defaults written out."""
        document: dict[str, JSONValue] = {"kind": self.kind.value}
        if self.kind in _MADE_AT_RANDOM:
            document["rotate"] = self.rotate
        if self.kind in (SecretKind.KEY, SecretKind.JWT_KEY):
            document["migrate"] = self.migrate
        if self.kind is SecretKind.X509:
            document["san"] = list(self.san)
        for name in ("size", "of", "key", "issuer", "common_name", "valid_days", "asset"):
            if (value := getattr(self, name)) is not None:
                document[name] = value
        for name in ("policy", "secret", "pin", "algorithm", "endpoint"):
            if (value := getattr(self, name)) is not None:
                document[name] = str(value)
        if self.service is not None:
            document["service"] = self.service.to_json()
        return document


def _sized(fields: Fields, kind: SecretKind, rotate: int) -> SecretSpec:
    size = 20 if kind is SecretKind.ASCII else 32
    if fields.has("size"):
        size = fields.integer("size", minimum=MIN_SIZE, maximum=MAX_SIZE)
    return SecretSpec(kind=kind, rotate=rotate, size=size)


def _key_pair(fields: Fields, kind: SecretKind, rotate: int) -> SecretSpec:
    algorithm: KeyAlgorithm | JWTAlgorithm
    if kind is SecretKind.KEY:
        algorithm = fields.choice("algorithm", KeyAlgorithm)
    else:
        algorithm = fields.choice("algorithm", JWTAlgorithm)
    migrate = fields.has("migrate") and fields.flag("migrate")
    return SecretSpec(kind=kind, rotate=rotate, algorithm=algorithm, migrate=migrate)


def _public_key(fields: Fields, kind: SecretKind, rotate: int) -> SecretSpec:
    return SecretSpec(kind=kind, rotate=rotate, of=fields.name("of"))


def _certificate(fields: Fields, kind: SecretKind, rotate: int) -> SecretSpec:
    leaf = kind is SecretKind.X509
    common_name = fields.text("common_name", limit=MAX_COMMON_NAME)
    if not common_name.strip() or not common_name.isprintable():
        raise PolicyContentError(
            where=fields.path("common_name"), detail="expected a printable name"
        )
    valid_days = 365
    if fields.has("valid_days"):
        valid_days = fields.integer("valid_days", minimum=1, maximum=MAX_VALID_DAYS)
    spec = SecretSpec(
        kind=kind,
        rotate=rotate,
        key=fields.optional("key", fields.name),
        issuer=fields.optional("issuer", fields.name),
        common_name=common_name,
        endpoint=fields.choice("endpoint", Endpoint) if leaf else None,
        san=_alternative_names(fields) if leaf and fields.has("san") else (),
        valid_days=valid_days,
    )
    reachable = any(name.startswith(("dns:", "ip:")) for name in spec.san)
    if spec.endpoint is Endpoint.SERVER and not reachable:
        raise PolicyContentError(
            where=fields.path("san"), detail="a server needs a dns: or ip: name to be reached by"
        )
    return spec


def _alternative_names(fields: Fields) -> tuple[str, ...]:
    names = fields.texts("san", limit=512)
    if len(set(names)) != len(names) or len(names) > MAX_SAN:
        raise MalformedError(
            what=fields.path("san"), detail=f"expected at most {MAX_SAN} different names"
        )
    for name in names:
        kind, _, value = name.partition(":")
        is_valid = _ALTERNATIVES.get(kind)
        if is_valid is None or not is_valid(value):
            raise MalformedError(
                what=fields.path("san"), detail=f"{name!r} is no dns:HOST, ip:ADDRESS or uri:URI"
            )
    return names


def _is_host(value: str) -> bool:
    return len(value) <= 253 and bool(_HOST.fullmatch(value))  # noqa: PLR2004 - RFC 1035, 2.3.4


def _is_address(value: str) -> bool:
    try:
        return str(ipaddress.ip_address(value)) == value
    except ValueError:
        return False


_ALTERNATIVES: Mapping[str, Callable[[str], bool]] = {
    "dns": _is_host,
    "ip": _is_address,
    "uri": lambda value: bool(_URI.fullmatch(value)),
}


def _asset(fields: Fields, kind: SecretKind, _rotate: int) -> SecretSpec:
    asset = parse_asset_name(fields.take("asset"), what=fields.path("asset"))
    return SecretSpec(kind=kind, asset=asset)


def _import(fields: Fields, kind: SecretKind, _rotate: int) -> SecretSpec:
    service = None
    if fields.has("service"):
        service = PeerService.from_fields(fields.object("service"), with_url=True)
    return SecretSpec(
        kind=kind,
        policy=parse_policy_name(fields.take("policy"), what=fields.path("policy")),
        secret=fields.name("secret"),
        pin=fields.optional("pin", fields.digest),
        service=service,
    )


_READERS: Mapping[SecretKind, Callable[[Fields, SecretKind, int], SecretSpec]] = {
    SecretKind.ASCII: _sized,
    SecretKind.BINARY: _sized,
    SecretKind.KEY: _key_pair,
    SecretKind.PUBLIC_KEY: _public_key,
    SecretKind.X509_CA: _certificate,
    SecretKind.X509: _certificate,
    SecretKind.JWT_KEY: _key_pair,
    SecretKind.ASSET: _asset,
    SecretKind.IMPORT: _import,
}


def read_secrets(fields: Fields) -> Mapping[str, SecretSpec]:
    """The mapping ``secrets`` of a policy; all that they refer to exists, and in no circle.

    Whether imports are exported and assets registered is *not* checked here.
    Raises ``MalformedError`` or ``PolicyContentError``.
    """
    secrets: dict[str, SecretSpec] = {}
    for name in fields.names():
        if not NAME.fullmatch(name) or name in (AUTHORITY, IDENTITY):
            raise PolicyContentError(where=fields.where, detail=f"{name!r} is no secret's name")
        secrets[name] = SecretSpec.from_fields(fields.object(name))
    rsa = sum(spec.algorithm is KeyAlgorithm.RSA_3072 for spec in secrets.values())
    if len(secrets) > MAX_SECRETS or rsa > MAX_RSA_KEYS:
        raise PolicyContentError(
            where=fields.where,
            detail=f"more than {MAX_SECRETS} secrets, or more than {MAX_RSA_KEYS} RSA keys",
        )
    for name in secrets:
        _check_references(name, secrets, fields.path(name))
    return MappingProxyType(secrets)


def _check_references(name: str, secrets: Mapping[str, SecretSpec], where: str) -> None:
    spec = secrets[name]
    _refer(secrets, f"{where}.of", spec.of, SecretKind.KEY, SecretKind.JWT_KEY)
    _refer(secrets, f"{where}.key", spec.key, SecretKind.KEY)
    issuer = _refer(secrets, f"{where}.issuer", spec.issuer, SecretKind.X509_CA)
    seen = {name}
    while issuer is not None:
        if issuer in seen:
            raise PolicyContentError(where=f"{where}.issuer", detail="it issues itself in a circle")
        seen.add(issuer)
        if len(seen) > MAX_CHAIN:
            raise PolicyContentError(
                where=f"{where}.issuer", detail=f"its chain has more than {MAX_CHAIN} certificates"
            )
        above = secrets[issuer]
        if (above.valid_days or 0) < (spec.valid_days or 0):
            raise PolicyContentError(
                where=f"{where}.valid_days", detail=f"it would outlive its issuer {issuer}"
            )
        issuer = _refer(secrets, f"{where}.issuer", above.issuer, SecretKind.X509_CA)


def _refer(
    secrets: Mapping[str, SecretSpec], where: str, name: str | None, *kinds: SecretKind
) -> str | None:
    if name is not None and (name not in secrets or secrets[name].kind not in kinds):
        expected = " or ".join(kinds)
        raise PolicyContentError(where=where, detail=f"{name} is no secret of kind {expected}")
    return name
