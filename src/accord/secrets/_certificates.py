# SPDX-License-Identifier: Apache-2.0
"""X.509 certificates (RFC 5280): one way to issue each kind."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from accord.policy import Endpoint
from accord.secrets._keys import PrivateKey, PublicKey, hash_for

CLOCK_SKEW = timedelta(minutes=5)
"""How long before its issue a certificate is valid: the reader's clock may be behind."""

USAGES = {
    Endpoint.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
    Endpoint.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs: a key, and the certificates from its own to the root."""

    key: PrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        return tuple(item.public_bytes(Encoding.DER) for item in self.chain)


def distinguished_name(common_name: str, **others: str) -> x509.Name:
    """A name whose parts each fit (RFC 5280, appendix A.1); longer ones are for the caller."""
    kinds = {"organization": NameOID.ORGANIZATION_NAME, "unit": NameOID.ORGANIZATIONAL_UNIT_NAME}
    parts = [x509.NameAttribute(kinds[kind], text) for kind, text in others.items()]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def issue_ca(
    *,
    subject: x509.Name,
    key: PrivateKey,
    issuer: Issuer | None,
    now: datetime,
    lifetime: timedelta,
    path_length: int,
    constraints: x509.NameConstraints | None = None,
    uri: str | None = None,
) -> Issuer:
    """An authority below which at most ``path_length`` others stand, and what it signs with."""
    public = key.public_key()
    builder = _builder(subject, public, issuer, now, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), True)
    builder = builder.add_extension(_key_usage(ca=True), True)
    if constraints is not None:
        builder = builder.add_extension(constraints, True)
    if uri is not None:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, False)
    signer = issuer.key if issuer is not None else key
    own = builder.sign(signer, hash_for(signer))
    return Issuer(key, (own, *(issuer.chain if issuer is not None else ())))


def issue_leaf(
    *,
    subject: x509.Name,
    public: PublicKey,
    issuer: Issuer | PrivateKey,
    now: datetime,
    lifetime: timedelta,
    endpoints: Sequence[Endpoint],
    names: Sequence[str],
) -> tuple[bytes, ...]:
    """The chain of a certificate that can issue none; with a key as issuer it signs itself.

    ``names`` are checked by the policy: ``dns:HOST``, ``ip:ADDRESS`` or ``uri:URI``.
    """
    above = issuer if isinstance(issuer, Issuer) else None
    signer = issuer.key if isinstance(issuer, Issuer) else issuer
    builder = _builder(subject, public, above, now, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_key_usage(ca=False), True)
    usage = x509.ExtendedKeyUsage([USAGES[endpoint] for endpoint in endpoints])
    builder = builder.add_extension(usage, False)
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        builder = builder.add_extension(alternatives, False)
    own = builder.sign(signer, hash_for(signer)).public_bytes(Encoding.DER)
    return (own, *(above.chain_der if above is not None else ()))


def _builder(
    subject: x509.Name,
    public: PublicKey,
    issuer: Issuer | None,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    start, end = now - CLOCK_SKEW, now + lifetime
    if issuer is not None:  # nothing is valid before, or longer than, what it hangs on
        start = max(start, issuer.chain[0].not_valid_before_utc)
        end = min(end, issuer.chain[0].not_valid_after_utc)
    signer = issuer.key.public_key() if issuer is not None else public
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.chain[0].subject if issuer is not None else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    kind, _, value = name.partition(":")
    if kind == "dns":
        return x509.DNSName(value)
    if kind == "ip":
        return x509.IPAddress(ipaddress.ip_address(value))
    return x509.UniformResourceIdentifier(value)
