# SPDX-License-Identifier: Apache-2.0
"""Secrets and exports in words, for the diff: everything that the document says, and its fate."""

from __future__ import annotations

import json
from collections.abc import Mapping

from accord.encoding import JSONValue
from accord.policy._exports import Export
from accord.policy._fates import Fate
from accord.policy._secrets import SecretKind, SecretSpec

_KINDS = {
    SecretKind.ASCII: "random letters and digits",
    SecretKind.BINARY: "random bytes",
    SecretKind.KEY: "a key pair",
    SecretKind.PUBLIC_KEY: "the public key of another secret",
    SecretKind.X509_CA: "a certificate authority",
    SecretKind.X509: "a certificate with its key",
    SecretKind.JWT_KEY: "a key pair for tokens",
    SecretKind.ASSET: "a value that a member deposited",
    SecretKind.IMPORT: "a secret of another policy",
}

FATES: Mapping[Fate, str] = {
    Fate.KEPT: "keeps its value",
    Fate.GENERATED: "gets a new value",
    Fate.REISSUED: "is issued anew",
    Fate.IMPORTED: "has the value that the other policy gives it",
    Fate.DEPOSITED: "has the value that its owner deposited",
    Fate.DROPPED: "is gone, with its value",
}
"""What an update does to a secret, after its name."""


def secret_words(spec: SecretSpec) -> str:
    """What ``spec`` says, after a name; equal only where the specifications are."""
    document = spec.to_json()
    del document["kind"]
    return f"is {_KINDS[spec.kind]}{_settings(document)}"


def export_words(export: Export) -> str:
    """What ``export`` says, after the name of the policy; equal only where the exports are."""
    document = export.to_json()
    secret, to = document.pop("secret"), document.pop("to")
    if export.is_public:
        return f"shows the public part of its secret {secret} to everybody"
    whole = "all policies in and at" if document.pop("namespace") else "the policy"
    return f"gives its secret {secret} to {whole} {to}{_settings(document)}"


def _settings(document: Mapping[str, JSONValue]) -> str:
    """In visible ASCII and quotes, so that no value goes on into the next word."""
    words = [f"{name} {json.dumps(value, sort_keys=True)}" for name, value in document.items()]
    return ": " + ", ".join(sorted(words)) if words else ""
