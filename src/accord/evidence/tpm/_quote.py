# SPDX-License-Identifier: Apache-2.0
"""A quote: what a TPM signed of its registers, and the registers' values beside it."""

from __future__ import annotations

import hashlib
import hmac
import struct
from binascii import unhexlify
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from accord.errors import EvidenceMalformedError, EvidenceSignatureError, LogMismatchError
from accord.evidence._reader import Reader
from accord.evidence._signature import MIN_RSA_BITS, PublicKey
from accord.evidence.tpm._structures import (
    HASHES,
    Attest,
    Quoted,
    Selection,
    Signature,
    parse_attest,
    parse_signature,
)

Registers = Mapping[tuple[str, int], bytes]
"""Values by bank and index."""

_ALGORITHMS: Mapping[str, hashes.HashAlgorithm] = MappingProxyType(
    {
        "sha1": hashes.SHA1(),  # noqa: S303 - old TPMs; claims say so, and policies refuse it
        "sha256": hashes.SHA256(),
        "sha384": hashes.SHA384(),
        "sha512": hashes.SHA512(),
    }
)
_SIZES = dict(HASHES.values())
_PCRS: Final = "PCR values"


@dataclass(frozen=True, slots=True)
class Quote:
    """``attested`` are the bytes that ``signature`` signs, ``attest`` what they say."""

    attested: bytes
    attest: Attest
    quoted: Quoted
    signature: Signature


def pack_quote(attested: bytes, signature: bytes) -> bytes:
    """A blob: TPMS_ATTEST and TPMT_SIGNATURE, each after its 16-bit length."""
    return b"".join(struct.pack(">H", len(part)) + part for part in (attested, signature))


def parse_quote(blob: bytes) -> Quote:
    """Takes a blob of `pack_quote` apart; nothing is verified.

    Raises ``EvidenceMalformedError``, also for an attestation of anything but registers.
    """
    reader = Reader(blob, "TPM quote", "big")
    attested, signature = reader.sized(2), reader.sized(2)
    reader.end()
    attest = parse_attest(attested)
    if not isinstance(attest.attested, Quoted):
        raise EvidenceMalformedError(what="TPM quote", detail="it attests a key, not registers")
    return Quote(attested, attest, attest.attested, parse_signature(signature))


def verify_attested(
    attested: bytes, signature: Signature, key: PublicKey, *, what: str, by: str
) -> None:
    """That ``key`` signed ``attested``; whether it is an attestation key is *not* checked.

    Raises ``EvidenceSignatureError`` or ``EvidenceMalformedError``.
    """
    algorithm = _ALGORITHMS[signature.hash]
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and signature.scheme == "ecdsa":
            r, s = (int.from_bytes(part, "big") for part in signature.value)
            key.verify(encode_dss_signature(r, s), attested, ec.ECDSA(algorithm))
            return
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
            if signature.scheme == "rsassa":
                key.verify(signature.value[0], attested, padding.PKCS1v15(), algorithm)
                return
            if signature.scheme == "rsapss":
                # TPMs differ in the salt: all that fits, or the digest's size (part 1, annex B).
                scheme = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)
                key.verify(signature.value[0], attested, scheme, algorithm)
                return
    except InvalidSignature as exc:
        raise EvidenceSignatureError(what=what, expected=by) from exc
    raise EvidenceMalformedError(what=what, detail=f"{signature.scheme} does not fit its key")


def parse_registers(data: bytes, selections: Sequence[Selection]) -> Registers:
    """The values in ``data``: one line ``bank:index:value`` for each of ``selections``, in order.

    There is one spelling: lower-case hex, every line ended, nothing else. Whether the values
    are those that were signed is *not* checked. Raises ``EvidenceMalformedError``.
    """
    lines = data.split(b"\n")
    wanted = [(item.bank, index) for item in selections for index in item.indices]
    if lines.pop() or len(lines) != len(wanted):
        raise EvidenceMalformedError(
            what=_PCRS, detail=f"expected {len(wanted)} lines, one for each quoted register"
        )
    found: dict[tuple[str, int], bytes] = {}
    for line, (bank, index) in zip(lines, wanted, strict=True):
        prefix = b"%b:%d:" % (bank.encode(), index)
        digits = line.removeprefix(prefix)
        try:
            value = unhexlify(digits)
        except ValueError:
            value = b""
        if prefix + value.hex().encode() != line or len(value) != _SIZES[bank]:
            raise EvidenceMalformedError(
                what=_PCRS, detail=f"expected {bank}:{index}: and {_SIZES[bank]} bytes in hex"
            )
        found[bank, index] = value
    return MappingProxyType(found)


def format_registers(values: Registers) -> bytes:
    """The spelling that `parse_registers` reads; ``values`` must be in the quote's order."""
    return b"".join(
        f"{bank}:{index}:{value.hex()}\n".encode() for (bank, index), value in values.items()
    )


def check_registers(quote: Quote, values: Registers) -> None:
    """That ``values``, in order, have the digest that was signed (part 3, 18.4).

    Raises ``LogMismatchError``.
    """
    # The digest is of the signature's hash, whichever banks are selected.
    actual = hashlib.new(quote.signature.hash, b"".join(values.values())).digest()
    if not hmac.compare_digest(quote.quoted.pcr_digest, actual):
        raise LogMismatchError(
            what=_PCRS,
            register="the digest of all quoted registers",
            actual=actual.hex(),
            expected=quote.quoted.pcr_digest.hex(),
        )
