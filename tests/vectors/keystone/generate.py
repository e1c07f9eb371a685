# SPDX-License-Identifier: Apache-2.0
"""Makes the Keystone vectors: one flaw each, from published test keys, byte for byte again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from accord.encoding import sha256
from accord.evidence.keystone import expand_seed, public_key, sign
from accord.testing._keystone import write_report

FILE = Path(__file__).parent / "vectors.json"

# The test device key of Sanctum and Keystone, test_dev_key.h.
DEVICE = bytes.fromhex(
    "40a099478ccefa3a0663abc95e7a1ec954b4f5f645bad804db13e7d7826c7073"
    "576a9ab62160d9d1c6aedc29852fb960ee5132835a1689ec06a8723451aa0e4a"
)
DEVICE_PUBLIC = bytes.fromhex("0faad4ff01178583baa588966f7c1ff32564dd17d7dc2b46cb50a84a69270b4c")

MONITOR = expand_seed(hashlib.sha256(b"accord Keystone vectors, security monitor").digest())
STRANGER = expand_seed(hashlib.sha256(b"accord Keystone vectors, stranger").digest())
ENCLAVE_HASH = hashlib.sha3_512(b"accord Keystone vectors, enclave").digest()
MONITOR_HASH = hashlib.sha3_512(b"accord Keystone vectors, monitor").digest()
DATA = bytes(range(64))
ORDER = 2**252 + 27742317777372353535851937790883648493

ENCLAVE_SIGNATURE, MONITOR_KEY, MONITOR_SIGNATURE, DEVICE_KEY = 1096, 1224, 1256, 1320


@dataclass(frozen=True)
class Vector:
    """``outcome`` is ok or the name of an error; ``comment`` says what is wrong."""

    name: str
    outcome: str
    comment: str
    report: bytes


def report(*, device: bytes = DEVICE, monitor: bytes = MONITOR, data: bytes = DATA) -> bytes:
    return write_report(device, monitor, data, ENCLAVE_HASH, MONITOR_HASH)


def replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def flipped(data: bytes, at: int) -> bytes:
    return replaced(data, at, bytes((data[at] ^ 1,)))


def forged_monitor(key: bytes, signature: bytes) -> bytes:
    """A report whose security monitor has another key, which the device did sign."""
    signed = MONITOR_HASH + key
    head = report()[:ENCLAVE_SIGNATURE] + signature
    return head + signed + sign(DEVICE, signed) + DEVICE_PUBLIC


def vectors() -> Iterator[Vector]:
    good, malformed, unsigned = report(), "EvidenceMalformedError", "EvidenceSignatureError"
    yield Vector("valid", "ok", "64 bytes of data", good)
    yield Vector("no_data", "ok", "nothing is bound", report(data=b""))
    yield Vector("most_data", "ok", "1024 bytes of data", report(data=bytes(1024)))
    yield Vector(
        "unsigned_padding",
        "ok",
        "what follows the data is signed by nobody",
        flipped(good, 72 + 64),
    )
    yield Vector("enclave_hash_fail", unsigned, "another enclave", flipped(good, 0))
    yield Vector("data_fail", unsigned, "other data", flipped(good, 72))
    yield Vector(
        "shorter_data_fail",
        unsigned,
        "the length is signed",
        replaced(good, 64, (63).to_bytes(8, "little")),
    )
    yield Vector(
        "length_fail",
        malformed,
        "more data than a report can have",
        replaced(good, 64, (1025).to_bytes(8, "little")),
    )
    yield Vector("monitor_hash_fail", unsigned, "another security monitor", flipped(good, 1160))
    yield Vector(
        "monitor_key_fail",
        unsigned,
        "a key that the device did not sign",
        replaced(good, MONITOR_KEY, public_key(STRANGER)),
    )
    yield Vector(
        "monitor_by_stranger_fail",
        unsigned,
        "signed by another device",
        replaced(report(device=STRANGER), DEVICE_KEY, DEVICE_PUBLIC),
    )
    yield Vector(
        "other_device_fail",
        "AnchorUnknownError",
        "whole, but of another device",
        report(device=STRANGER),
    )
    yield Vector("truncated_fail", malformed, "one byte is missing", good[:-1])
    yield Vector("trailing_byte_fail", malformed, "one byte too many", good + b"\0")
    s = int.from_bytes(good[ENCLAVE_SIGNATURE + 32 : ENCLAVE_SIGNATURE + 64], "little")
    yield Vector(
        "s_plus_order_fail",
        unsigned,
        "S is not below the group order",
        replaced(good, ENCLAVE_SIGNATURE + 32, (s + ORDER).to_bytes(32, "little")),
    )
    one = (1).to_bytes(32, "little")
    yield Vector(
        "small_order_key_fail",
        malformed,
        "a key under which anything is signed",
        forged_monitor(one, one + bytes(32)),
    )
    yield Vector(
        "key_not_canonical_fail",
        malformed,
        "y = p + 1 for a key of y = 1",
        forged_monitor((2**255 - 18).to_bytes(32, "little"), one + bytes(32)),
    )
    yield Vector(
        "key_not_on_curve_fail",
        malformed,
        "no point has y = 2",
        forged_monitor((2).to_bytes(32, "little"), one + bytes(32)),
    )
    yield Vector(
        "negative_zero_key_fail",
        malformed,
        "x = 0 with a sign",
        forged_monitor((1 | 1 << 255).to_bytes(32, "little"), one + bytes(32)),
    )
    signed = good[:136]
    rfc8032 = sign(MONITOR, signed, hash_function=hashlib.sha512)
    yield Vector(
        "rfc8032_signature_fail",
        unsigned,
        "Ed25519 with SHA-512",
        replaced(good, ENCLAVE_SIGNATURE, rfc8032),
    )


def document() -> str:
    listed = [
        {
            "name": vector.name,
            "outcome": vector.outcome,
            "comment": vector.comment,
            "report": vector.report.hex(),
        }
        for vector in vectors()
    ]
    keys = {
        "device_secret": DEVICE.hex(),
        "device_public": DEVICE_PUBLIC.hex(),
        "anchor": sha256(DEVICE_PUBLIC),
        "enclave": ENCLAVE_HASH.hex(),
        "security_monitor": MONITOR_HASH.hex(),
        "data": DATA.hex(),
    }
    return json.dumps({"keys": keys, "vectors": listed}, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(document())
