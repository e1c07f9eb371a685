# SPDX-License-Identifier: Apache-2.0
"""Measured files as components, and who signed them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from accord.errors import EvidenceMalformedError
from accord.evidence._certificate import Certificate, load_certificates
from accord.evidence._claims import Component
from accord.evidence._reader import Reader
from accord.evidence.tpm._ima import IMAEntries

KIND: Final = "ima"
"""The kind of components that measured files are."""

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

    Raises ``EvidenceMalformedError``.
    """
    keys = load_certificates(certificates, what="IMA key") if certificates else ()
    return tuple(
        Component(
            KIND,
            name.decode("utf-8", "backslashreplace"),
            digest,
            signer=_signer(keys, digest, signature) if signature and keys else b"",
        )
        for _, _, _, digest, name, signature in entries.rows()
    )


def _signer(certificates: Sequence[Certificate], digest: bytes, attribute: bytes) -> bytes:
    """Who of ``certificates`` signed ``digest``, by ``attribute``; empty for none of them."""
    reader = Reader(attribute, "IMA signature", "big")
    try:
        if reader.take(2) != _SIGNATURE_V2:
            return b""
        algorithm = _SIGNED_HASHES.get(reader.number(1))
        reader.take(4)  # the last bytes of a key's identifier, which anybody can write
        signature = reader.sized(2)
        reader.end()
    except EvidenceMalformedError:
        return b""
    if algorithm is None or algorithm.digest_size != len(digest):
        return b""
    for certificate in certificates:
        key = certificate.key
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, digest, padding.PKCS1v15(), Prehashed(algorithm))
            else:
                key.verify(signature, digest, ec.ECDSA(Prehashed(algorithm)))
        except InvalidSignature:
            continue
        return hashlib.sha256(certificate.spki).digest()
    return b""
