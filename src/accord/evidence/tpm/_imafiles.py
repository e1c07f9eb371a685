# SPDX-License-Identifier: Apache-2.0
"""Measured files as components, and who signed them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from accord.errors import EvidenceMalformedError
from accord.evidence._certificate import Certificate, load_certificates
from accord.evidence._claims import Component
from accord.evidence._der import sequence
from accord.evidence._reader import Reader
from accord.evidence.tpm._ima import IMAEntries

KIND: Final = "ima"
"""The kind of components that measured files are."""

MAX_KEYS = 16
"""Most certificates of keys that sign files."""

MAX_FAILURES = 256
"""Most signatures of one log that name a known key, and are not valid."""

MAX_SIGNATURES = 1 << 15
"""Most different signatures of one log."""

_MAX_RSA_BITS = 4096
_MAX_EXPONENT = 65537
_MAX_CURVE_BITS = 384
_KEY_ID_BYTES = 4
_SUBJECT_KEY_IDENTIFIER = "2.5.29.14"

# struct signature_v2_hdr (security/integrity/integrity.h), and enum hash_algo for SHA-2: files
# signed with SHA-1 have no signer.
_SIGNATURE_V2 = b"\x03\x02"
_SIGNED_HASHES: Mapping[int, hashes.HashAlgorithm] = MappingProxyType(
    {4: hashes.SHA256(), 5: hashes.SHA384(), 6: hashes.SHA512(), 7: hashes.SHA224()}
)


def ima_components(entries: IMAEntries, *, certificates: bytes = b"") -> tuple[Component, ...]:
    """``entries`` as components; a violation's digest is zeros, which no file has.

    ``certificates`` (PEM, or one in DER) are of keys that may have signed files. A component's
    signer is the SHA-256 of the key (DER SubjectPublicKeyInfo) whose signature of the file's
    digest is valid, else empty: kernels measure signatures without having verified them. Who
    issued the certificates, and when, is *not* checked: a policy names keys.

    Raises ``EvidenceMalformedError``, also where so many signatures are not valid that nobody
    but an attacker on our time can have written them.
    """
    signers = _Signers.of(certificates)
    return tuple(
        Component(
            KIND,
            name.decode("utf-8", "backslashreplace"),
            digest,
            signer=signers.of_file(digest, signature) if signature else b"",
        )
        for _, _, _, digest, name, signature in entries.rows()
    )


@dataclass(slots=True)
class _Signers:
    """The keys of one log, by the identifiers that signatures name them with."""

    keys: Mapping[bytes, tuple[Certificate, ...]]
    seen: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    failures: int = 0

    @classmethod
    def of(cls, certificates: bytes) -> _Signers:
        found: dict[bytes, tuple[Certificate, ...]] = {}
        if certificates:
            loaded = load_certificates(certificates, what="IMA key", most=MAX_KEYS)
            for certificate in filter(_usable, loaded):
                for identifier in _identifiers(certificate):
                    found[identifier] = (*found.get(identifier, ()), certificate)
        return cls(found)

    def of_file(self, digest: bytes, attribute: bytes) -> bytes:
        """Who signed ``digest``, by ``attribute``; empty for none of them."""
        reader = Reader(attribute, "IMA signature", "big")
        try:
            if reader.take(2) != _SIGNATURE_V2:
                return b""
            algorithm = _SIGNED_HASHES.get(reader.number(1))
            # Anybody can write it: it says which key to try, never that it was that key.
            candidates = self.keys.get(reader.take(_KEY_ID_BYTES), ())
            signature = reader.sized(2)
            reader.end()
        except EvidenceMalformedError:
            return b""
        if not candidates or algorithm is None or algorithm.digest_size != len(digest):
            return b""
        known = self.seen.get((digest, attribute))
        if known is None:
            known = self._verify(candidates, algorithm, digest, signature)
            self.seen[digest, attribute] = known
            if len(self.seen) > MAX_SIGNATURES:
                raise _too_many(f"more than {MAX_SIGNATURES} signatures")
        return known

    def _verify(
        self,
        candidates: tuple[Certificate, ...],
        algorithm: hashes.HashAlgorithm,
        digest: bytes,
        signature: bytes,
    ) -> bytes:
        for certificate in candidates:
            key = certificate.key
            try:
                if isinstance(key, rsa.RSAPublicKey):
                    key.verify(signature, digest, padding.PKCS1v15(), Prehashed(algorithm))
                else:
                    key.verify(signature, digest, ec.ECDSA(Prehashed(algorithm)))
            except InvalidSignature:
                self.failures += 1
                if self.failures > MAX_FAILURES:
                    raise _too_many(f"more than {MAX_FAILURES} invalid signatures") from None
                continue
            return hashlib.sha256(certificate.spki).digest()
        return b""


def _too_many(detail: str) -> EvidenceMalformedError:
    return EvidenceMalformedError(what="IMA log", detail=f"it has {detail}")


def _usable(certificate: Certificate) -> bool:
    """Whether kernels take such a key, and its signatures are verified in no time."""
    key = certificate.key
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size <= _MAX_RSA_BITS and key.public_numbers().e <= _MAX_EXPONENT
    return key.curve.key_size <= _MAX_CURVE_BITS


def _identifiers(certificate: Certificate) -> frozenset[bytes]:
    """The end of its subject key identifier, and that of the SHA-1 of its key.

    The kernel compares the former; tools that sign without a certificate write the latter.
    """
    bits = sequence(certificate.spki, what="IMA key")[1].value[1:]
    named = certificate.extensions.get(_SUBJECT_KEY_IDENTIFIER, b"")
    hashed = hashlib.sha1(bits).digest()  # noqa: S324 - a name, no proof
    return frozenset(data[-_KEY_ID_BYTES:] for data in (named, hashed))
