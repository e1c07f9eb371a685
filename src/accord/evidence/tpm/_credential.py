# SPDX-License-Identifier: Apache-2.0
"""Credential activation: proof that an attestation key lives in the TPM of an endorsement key.

TPM 2.0 Library, part 1, 24; part 3, 12.6 (TPM2_MakeCredential), which is computed here.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from accord.encoding import (
    Digest,
    Fields,
    base64_encode,
    canonical_json,
    parse_canonical_json,
    sha256,
)
from accord.errors import (
    CredentialRefusedError,
    EnvironmentRefusedError,
    EvidenceMalformedError,
)
from accord.evidence._certificate import Certificate
from accord.evidence._chain import check_chain_period, verify_chain
from accord.evidence.tpm._key import EK_PURPOSE, check_purpose, load_chain
from accord.evidence.tpm._structures import (
    DECRYPT,
    FIXED_TPM,
    RESTRICTED,
    SIGN,
    SIGNING_KEY,
    Public,
    parse_public,
    spki_of,
)

Entropy = Callable[[int], bytes]
"""As many random bytes as asked for, from a cryptographic source."""

SECRET_BYTES: Final = 32
_SCHEMA: Final = "accord.ak-enrolment.v1"
_EK: Final = "endorsement key"
_EK_CERTIFICATE: Final = "EK certificate"
_IDENTITY = b"IDENTITY\0"
_HASHES: Mapping[str, HashAlgorithm] = {
    "sha256": SHA256(),
    "sha384": SHA384(),
    "sha512": SHA512(),
}
_UNDERSTOOD = frozenset({"2.5.29.17"})


@dataclass(frozen=True, slots=True)
class Credential:
    """What TPM2_ActivateCredential takes, both without their 16-bit lengths."""

    id_object: bytes
    encrypted_secret: bytes


def make_credential(
    ek_public: bytes, ak_name: bytes, secret: bytes, *, entropy: Entropy
) -> Credential:
    """``secret``, so that only the TPM of ``ek_public`` finds it, and only for ``ak_name``.

    ``ek_public`` is a TPMT_PUBLIC of an RSA or ECC storage key. Whether it is of a genuine
    TPM is *not* checked (`AKEnrolment`). Raises ``EvidenceMalformedError`` or
    ``EnvironmentRefusedError``.
    """
    ek = parse_public(ek_public, what=_EK)
    wanted = FIXED_TPM | RESTRICTED | DECRYPT
    if ek.attributes & (wanted | SIGN) != wanted or not ek.symmetric:
        raise EnvironmentRefusedError(
            field="attributes of the endorsement key",
            actual=f"{ek.attributes:08x}",
            expected="restricted, decrypt, fixedTPM and not sign",
        )
    if ek.name_hash not in _HASHES or len(secret) > _HASHES[ek.name_hash].digest_size:
        raise EvidenceMalformedError(what=_EK, detail=f"{ek.name_hash} is too short for the secret")
    seed, encrypted = _share_seed(ek, entropy)
    # Part 1, 24: encrypted by one key, authenticated together with the name by another.
    key = kdfa(ek.name_hash, seed, b"STORAGE\0", context=ak_name, bits=ek.symmetric)
    # A fresh seed makes a fresh key, so that the initialization vector can be zero.
    cipher = Cipher(AES(key), CFB(bytes(16))).encryptor()
    identity = cipher.update(_sized(secret)) + cipher.finalize()
    size = _HASHES[ek.name_hash].digest_size
    mac_key = kdfa(ek.name_hash, seed, b"INTEGRITY\0", context=b"", bits=8 * size)
    mac = hmac.digest(mac_key, identity + ak_name, ek.name_hash)
    return Credential(_sized(mac) + identity, encrypted)


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _share_seed(ek: Public, entropy: Entropy) -> tuple[bytes, bytes]:
    """A seed, and how the TPM finds it (part 1, annexes B for RSA and C for ECC)."""
    digest = _HASHES[ek.name_hash]
    if isinstance(ek.key, rsa.RSAPublicKey):
        seed = entropy(digest.digest_size)
        return seed, ek.key.encrypt(seed, padding.OAEP(padding.MGF1(digest), digest, _IDENTITY))
    order_bytes = ek.key.curve.key_size // 8 + 8
    scalar = int.from_bytes(entropy(order_bytes), "big") % ek.key.curve.group_order
    ephemeral = ec.derive_private_key(scalar or 1, ek.key.curve)
    shared = ephemeral.exchange(ec.ECDH(), ek.key)
    ours, theirs = _point(ephemeral.public_key()), _point(ek.key)
    bits, parties = 8 * digest.digest_size, ours[0] + theirs[0]
    seed = kdfe(ek.name_hash, shared, _IDENTITY, parties=parties, bits=bits)
    return seed, _sized(ours[0]) + _sized(ours[1])


def _point(key: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    numbers, size = key.public_numbers(), (key.curve.key_size + 7) // 8
    return numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big")


def kdfa(name: str, key: bytes, label: bytes, *, context: bytes, bits: int) -> bytes:
    """SP 800-108 in counter mode with HMAC (part 1, 11.4); ``label`` ends in a zero."""
    made, counter = b"", 0
    while 8 * len(made) < bits:
        counter += 1
        block = struct.pack(">I", counter) + label + context + struct.pack(">I", bits)
        made += hmac.digest(key, block, name)
    return made[: bits // 8]


def kdfe(name: str, z: bytes, label: bytes, *, parties: bytes, bits: int) -> bytes:
    """SP 800-56A concatenation KDF (part 1, 11.4); ``label`` ends in a zero."""
    made, counter = b"", 0
    while 8 * len(made) < bits:
        counter += 1
        made += hashlib.new(name, struct.pack(">I", counter) + z + label + parties).digest()
    return made[: bits // 8]


@dataclass(frozen=True, slots=True)
class EnrolledAK:
    """An attestation key that is proved to live in a genuine TPM; ``anchor`` is what to pin."""

    anchor: Digest
    ak_name: bytes
    ek_digest: Digest
    ek_issuer: str
    ek_root: Digest


@dataclass(frozen=True, slots=True, repr=False)
class AKEnrolment:
    """An enrolment that waits for its answer; keep it where the machine cannot read it.

    ``credential`` goes to the machine, whose TPM answers with the secret in it only if it
    holds both keys (`finish`). Which machine that is, is for whoever enrols to know.
    """

    credential: Credential
    _enrolled: EnrolledAK
    _secret: bytes

    @classmethod
    def start(
        cls,
        *,
        ak_public: bytes,
        ek_public: bytes,
        endorsements: Mapping[str, bytes],
        anchors: Sequence[Digest],
        now: datetime,
        entropy: Entropy,
    ) -> AKEnrolment:
        """Challenges the TPM that is said to hold both keys (TPMT_PUBLIC each).

        ``endorsements`` has ``ek_certificate`` (DER or PEM) and ``ek_chain`` (PEM, up to the
        root), whose root must be one of ``anchors``: a TPM maker's. That the certificate was
        not revoked is *not* checked: few makers publish lists.

        Raises ``AnchorUnknownError``, ``ChainInvalidError``, ``EvidenceExpiredError``,
        ``EnvironmentRefusedError`` or ``EvidenceMalformedError``.
        """
        ak, ek = parse_public(ak_public, what="attestation key"), parse_public(ek_public, what=_EK)
        # (1) A key that could sign anything but what its TPM made would prove nothing later.
        if not ak.attests:
            raise EnvironmentRefusedError(
                field="attributes of the attestation key",
                actual=f"{ak.attributes:08x}",
                expected=SIGNING_KEY,
            )
        # (2) The endorsement key is of a TPM that its maker vouches for.
        chain = _endorsed(endorsements, anchors=anchors, now=now)
        if spki_of(chain[0].key) != ek.spki:
            raise EvidenceMalformedError(what=_EK_CERTIFICATE, detail="it is of another key")
        # (3) Only that TPM finds the secret, and only if it holds a key of exactly this name,
        # which covers the attributes.
        secret = entropy(SECRET_BYTES)
        return cls(
            make_credential(ek_public, ak.name, secret, entropy=entropy),
            EnrolledAK(
                anchor=sha256(ak.spki),
                ak_name=ak.name,
                ek_digest=sha256(ek.spki),
                ek_issuer=chain[1].what if len(chain) > 1 else "",
                ek_root=chain[-1].digest,
            ),
            secret,
        )

    def to_bytes(self) -> bytes:
        """Everything until the answer comes, the secret too: for private files alone."""
        return canonical_json(
            {
                "schema": _SCHEMA,
                "id_object": base64_encode(self.credential.id_object),
                "encrypted_secret": base64_encode(self.credential.encrypted_secret),
                "anchor": self._enrolled.anchor,
                "ak_name": base64_encode(self._enrolled.ak_name),
                "ek_digest": self._enrolled.ek_digest,
                "ek_issuer": self._enrolled.ek_issuer,
                "ek_root": self._enrolled.ek_root,
                "secret": base64_encode(self._secret),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> AKEnrolment:
        """An enrolment that was started before. Raises ``EncodingError``."""
        fields = Fields(parse_canonical_json(data, what="the enrolment"), "enrolment")
        fields.schema(_SCHEMA)
        found = cls(
            Credential(fields.data("id_object"), fields.data("encrypted_secret")),
            EnrolledAK(
                anchor=fields.digest("anchor"),
                ak_name=fields.data("ak_name"),
                ek_digest=fields.digest("ek_digest"),
                ek_issuer=fields.text("ek_issuer"),
                ek_root=fields.digest("ek_root"),
            ),
            # An empty secret would take an empty answer.
            fields.data("secret", size=SECRET_BYTES),
        )
        fields.end()
        return found

    def finish(self, answer: bytes) -> EnrolledAK:
        """The enrolled key, if ``answer`` is the secret. Raises ``CredentialRefusedError``."""
        # (4) The answer, in constant time.
        if not hmac.compare_digest(self._secret, answer):
            raise CredentialRefusedError(ak=self._enrolled.anchor, ek=self._enrolled.ek_digest)
        return self._enrolled


def _endorsed(
    endorsements: Mapping[str, bytes], *, anchors: Sequence[Digest], now: datetime
) -> tuple[Certificate, ...]:
    """The chain of an EK certificate (EK Credential Profile 2.5, 3.2)."""
    if "ek_certificate" not in endorsements:
        raise EvidenceMalformedError(what=_EK_CERTIFICATE, detail="it is missing")
    chain = load_chain(endorsements, "ek_certificate", "ek_chain", what=_EK_CERTIFICATE)
    verify_chain(chain, anchors=anchors, what=_EK_CERTIFICATE, understood=_UNDERSTOOD)
    check_chain_period(chain, now)
    check_purpose(chain[0], {EK_PURPOSE}, what=_EK_CERTIFICATE, demanded=True)
    return chain
