# SPDX-License-Identifier: Apache-2.0
"""The part of the JSON Schema about secrets and exports."""

from __future__ import annotations

from collections.abc import Mapping

from accord.policy._exports import PUBLIC
from accord.policy._schema_words import Schema, choice, integer, listed, record, ref, text
from accord.policy._secrets import (
    MAX_COMMON_NAME,
    MAX_ROTATE,
    MAX_SAN,
    MAX_SIZE,
    MAX_VALID_DAYS,
    MIN_SIZE,
    URL,
    Endpoint,
    JWTAlgorithm,
    KeyAlgorithm,
    SecretKind,
)

Fields = Mapping[str, Schema]


def secret_schemas() -> dict[str, Schema]:
    """One definition for each kind, and ``secret``, which chooses by ``kind``."""
    made: dict[str, Schema] = {
        "secret": {
            "type": "object",
            "required": ["kind"],
            "properties": {"kind": choice(SecretKind)},
            "allOf": [
                {
                    "if": {"properties": {"kind": {"const": kind.value}}, "required": ["kind"]},
                    "then": ref(f"secret-{kind.value}"),
                }
                for kind in SecretKind
            ],
        },
        "importing-service": record(
            required={**_peer(), "url": text(f"^{URL.pattern}$", "Where it answers.")}
        ),
        "exporting-service": record(required=_peer()),
    }
    for kind in SecretKind:
        required, optional = _fields(kind)
        made[f"secret-{kind.value}"] = record(
            required={"kind": {"const": kind.value}, **required}, optional=optional
        )
    return made


def _peer() -> Fields:
    return {
        "board": ref("digest"),
        "log_key": text("^[A-Za-z0-9+/]{43}=$", "Ed25519 public key of its log, in base64."),
    }


def _fields(kind: SecretKind) -> tuple[Fields, Fields]:
    """What a secret of this kind must say, and what it may."""
    rotate: Fields = {"rotate": {**integer(0, MAX_ROTATE), "default": 0}}
    pair: Fields = {**rotate, "migrate": {"type": "boolean", "default": False}}
    sized: Fields = {**rotate, "size": integer(MIN_SIZE, MAX_SIZE)}
    named: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_COMMON_NAME}
    issued: Fields = {
        **rotate,
        "key": ref("name"),
        "issuer": ref("name"),
        "valid_days": {**integer(1, MAX_VALID_DAYS), "default": 365},
    }
    names = listed(text("^(dns|ip|uri):", "dns:HOST, ip:ADDRESS or uri:URI"), unique=True)
    return {
        SecretKind.ASCII: ({}, sized),
        SecretKind.BINARY: ({}, sized),
        SecretKind.KEY: ({"algorithm": choice(KeyAlgorithm)}, pair),
        SecretKind.JWT_KEY: ({"algorithm": choice(JWTAlgorithm)}, pair),
        SecretKind.PUBLIC_KEY: ({"of": ref("name")}, {}),
        SecretKind.X509_CA: ({"common_name": named}, issued),
        SecretKind.X509: (
            {"common_name": named, "endpoint": choice(Endpoint)},
            {**issued, "san": {**names, "maxItems": MAX_SAN}},
        ),
        SecretKind.ASSET: ({"asset": ref("asset")}, {}),
        SecretKind.IMPORT: (
            {"policy": ref("policy-name"), "secret": ref("name")},
            {"pin": ref("digest"), "service": ref("importing-service")},
        ),
    }[kind]


def export_schema() -> Schema:
    """One export."""
    to: Schema = {**ref("policy-name"), "description": f"A policy, or `{PUBLIC}`."}
    return record(
        required={"secret": ref("name"), "to": to},
        optional={
            "pin": ref("digest"),
            "namespace": {"type": "boolean", "default": False},
            "service": ref("exporting-service"),
        },
    )
