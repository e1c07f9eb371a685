# SPDX-License-Identifier: Apache-2.0
"""One secret in one format, as a template asks for it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from accord.errors import SecretFormatError, SecretValueError
from accord.policy import FORMATS, SecretKind
from accord.secrets._keys import JWTPrivateKey, private_der, private_jwk
from accord.secrets._value import SecretValue, public_parts

_BYTES: Mapping[str, Callable[[bytes], bytes]] = {
    "bin": lambda data: data,
    "hex": lambda data: data.hex().encode(),
    "base64": base64.b64encode,
    "base64url": lambda data: base64.urlsafe_b64encode(data).rstrip(b"="),
}


def rendered(value: SecretValue, form: str | None, *, name: str) -> bytes:
    """The bytes that stand for ``{{ accord.name:form }}``; ``None``: the default of its kind.

    Raises ``SecretFormatError`` for a format that the kind does not have, ``SecretValueError``
    for text that is none and for a private part that was not given, or ``MalformedError``.
    """
    known = FORMATS[value.kind]
    form = known[0] if form is None else form
    if form not in known:
        raise SecretFormatError(
            where="a template", name=name, format=form, detail=f"it comes as {', '.join(known)}"
        )
    if form in _BYTES:
        return _BYTES[form](value.private)
    if form == "text":
        return _text(value.private, name)
    if form in ("public", "crt") or (form == "pem" and value.kind is SecretKind.PUBLIC_KEY):
        return public_parts({name: value})[name].encode()
    if form == "chain":
        return b"".join(c.public_bytes(Encoding.PEM) for c in value.certificates(name))
    if form == "der" and value.kind is not SecretKind.KEY:
        return value.public[0]
    return _private(value, form, name)


def _text(data: bytes, name: str) -> bytes:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        # Without the exception, which would carry the bytes.
        raise SecretValueError(name=name, detail="it is no text; use :base64, or :bin in a file")
    return data


def _private(value: SecretValue, form: str, name: str) -> bytes:
    if not value.private:
        raise SecretValueError(name=name, detail="its private part is not shared")
    key = value.private_key(name)
    if form == "der":
        return private_der(key)
    if form == "jwk" and isinstance(key, JWTPrivateKey):
        return private_jwk(key)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
