# SPDX-License-Identifier: Apache-2.0
"""The values of all secrets that a policy has of its own, made when it is enacted."""

from __future__ import annotations

import secrets as randomness
import string
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from cryptography import x509

from accord.encoding import Digest
from accord.errors import SecretValueError
from accord.policy import (
    CERTIFICATE_KINDS,
    GENERATED_KINDS,
    Endpoint,
    SecretKind,
    SecretSpec,
)
from accord.secrets._certificates import Issuer, distinguished_name, issue_ca, issue_leaf
from accord.secrets._keys import is_of, new_key, private_der, public_der
from accord.secrets._value import SecretValue

_ALPHABET = string.ascii_letters + string.digits

_MAX_UNIT = 64
"""``ub-organizational-unit-name`` of RFC 5280, appendix A.1, in characters."""


def generate(
    specs: Mapping[str, SecretSpec],
    *,
    kept: Mapping[str, bytes],
    now: datetime,
    board: Digest,
    policy: str,
) -> Mapping[str, SecretValue]:
    """A value for every secret in ``specs`` that is neither deposited nor imported.

    ``kept`` has the stored bytes of those that `carried_over` keeps, of public keys as well or
    not; certificates and public keys are made anew in any case. ``specs`` come from
    `read_secrets`, so that all they refer to is there.
    Raises ``SecretValueError`` where a kept value is not what its specification says.
    """
    maker = _Maker(specs, kept, now, board, policy)
    own = [name for name, spec in specs.items() if spec.kind in GENERATED_KINDS]
    return MappingProxyType({name: maker.value(name) for name in own})


class _Maker:
    """Makes each value once, after those that it refers to."""

    def __init__(
        self,
        specs: Mapping[str, SecretSpec],
        kept: Mapping[str, bytes],
        now: datetime,
        board: Digest,
        policy: str,
    ) -> None:
        self._specs = specs
        self._kept = kept
        self._now = now
        self._organization = f"board {board.removeprefix('sha256:')[:16]}"
        # A longer name would break the certificate; its end is what tells policies apart.
        self._unit = policy[-_MAX_UNIT:]
        self._values: dict[str, SecretValue] = {}

    def value(self, name: str) -> SecretValue:
        if name not in self._values:
            self._values[name] = self._make(name, self._specs[name])
        return self._values[name]

    def _make(self, name: str, spec: SecretSpec) -> SecretValue:
        if spec.of is not None:
            return SecretValue(spec.kind, b"", self.value(spec.of).public)
        if spec.kind in CERTIFICATE_KINDS:
            return self._certificate(name, spec)
        if name in self._kept:
            return _checked(self._kept[name], name, spec)
        if spec.kind is SecretKind.ASCII:
            text = "".join(randomness.choice(_ALPHABET) for _ in range(spec.size or 0))
            return SecretValue(spec.kind, text.encode())
        if spec.kind is SecretKind.BINARY:
            return SecretValue(spec.kind, randomness.token_bytes(spec.size))
        key = new_key(spec.algorithm)
        return SecretValue(spec.kind, private_der(key), (public_der(key.public_key()),))

    def _certificate(self, name: str, spec: SecretSpec) -> SecretValue:
        key = self.value(spec.key).private_key(spec.key) if spec.key else new_key(None)
        issuer = self._issuer(spec.issuer) if spec.issuer is not None else None
        subject = self._subject(spec)
        lifetime = timedelta(days=spec.valid_days or 0)
        if spec.kind is SecretKind.X509_CA:
            made = issue_ca(
                subject=subject,
                key=key,
                issuer=issuer,
                now=self._now,
                lifetime=lifetime,
                path_length=self._height(name),
            )
            return SecretValue(spec.kind, private_der(key), made.chain_der)
        chain = issue_leaf(
            subject=subject,
            public=key.public_key(),
            issuer=issuer if issuer is not None else key,
            now=self._now,
            lifetime=lifetime,
            endpoints=[spec.endpoint or Endpoint.CLIENT],
            names=spec.san,
        )
        return SecretValue(spec.kind, private_der(key), chain)

    def _issuer(self, name: str) -> Issuer:
        value = self.value(name)
        return Issuer(value.private_key(name), tuple(value.certificates(name)))

    def _height(self, name: str) -> int:
        """How many authorities may stand one below the other under this one."""
        below = [
            other
            for other, spec in self._specs.items()
            if spec.issuer == name and spec.kind is SecretKind.X509_CA
        ]
        return max((1 + self._height(other) for other in below), default=0)

    def _subject(self, spec: SecretSpec) -> x509.Name:
        return distinguished_name(
            spec.common_name or "", organization=self._organization, unit=self._unit
        )


def _checked(stored: bytes, name: str, spec: SecretSpec) -> SecretValue:
    """The value that is kept. A wrong one would be used for years: it must be what is asked."""
    value = SecretValue.from_bytes(stored, what=f"secret {name}")
    if spec.algorithm is not None:
        fits = bool(value.private) and is_of(value.public_key(name), spec.algorithm)
    else:
        fits = len(value.private) == spec.size
    if value.kind is not spec.kind or not fits:
        raise SecretValueError(name=name, detail="what was kept is of another kind or size")
    return value
