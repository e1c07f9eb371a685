# SPDX-License-Identifier: Apache-2.0
"""The TPM's own structures: what is read, what is refused, and that nothing else comes out."""

from __future__ import annotations

import struct

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tpm import (
    RESTRICTED_SIGNING,
    attest,
    public_area,
    select,
    sign,
    sized,
)

from accord.errors import EvidenceMalformedError
from accord.evidence.tpm import (
    Certified,
    Quoted,
    Selection,
    parse_attest,
    parse_public,
    parse_signature,
)

KEY = ec.derive_private_key(7, ec.SECP256R1())
QUOTED = select([("sha256", 0), ("sha256", 7), ("sha1", 3)]) + sized(bytes(32))


def test_a_quote_is_taken_apart() -> None:
    """Selection, clock and firmware are what was written."""
    found = parse_attest(attest(QUOTED, extra_data=b"asked"))

    assert found.attested == Quoted(
        (Selection("sha256", (0, 7)), Selection("sha1", (3,))), bytes(32)
    )
    assert (found.extra_data, found.firmware_version) == (b"asked", 0x2019_1023_0016_3636)
    assert (found.clock.reset_count, found.clock.restart_count, found.clock.safe) == (7, 3, True)


@pytest.mark.parametrize(("kind", "named"), [(0x8017, "certify"), (0x801A, "creation")])
def test_an_attested_key_is_taken_apart(kind: int, named: str) -> None:
    """Certification and creation name a key."""
    found = parse_attest(attest(sized(b"name") + sized(b"detail"), kind=kind))

    assert isinstance(found.attested, Certified)
    assert (found.attested.kind, found.attested.name) == (named, b"name")
    assert found.attested.detail == b"detail"


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (attest(QUOTED, magic=0xFF544348), "its magic number"),
        (attest(QUOTED, kind=0x8019), "type 0x8019 is not supported"),
        (attest(QUOTED, safe=2), "clock safe is 2"),
        (attest(QUOTED) + b"\0", "1 bytes follow"),
        (attest(QUOTED)[:-1], "cut at byte"),
        (attest(struct.pack(">I", 17)), "17 banks"),
        (attest(struct.pack(">IHB", 1, 0x0099, 3) + bytes(3)), "hash 0x0099 is not supported"),
        (attest(struct.pack(">IHB", 1, 0x000B, 5) + bytes(5)), "a selection has 5 bytes"),
        (attest(struct.pack(">IHB", 1, 0x000B, 4) + b"\0\0\0\1"), "registers beyond 23"),
        (attest(struct.pack(">I", 2) + (b"\0\x0b\3\1\0\0" * 2)), "a register twice"),
    ],
)
def test_what_no_tpm_attests_is_refused(data: bytes, detail: str) -> None:
    """Each flaw by its name."""
    with pytest.raises(EvidenceMalformedError, match=detail):
        parse_attest(data)


def test_the_name_of_a_key_covers_its_attributes() -> None:
    """The same key with other attributes has another name, but the same key digest."""
    ours, other = (
        parse_public(public_area(KEY, attributes)) for attributes in (RESTRICTED_SIGNING, 0x72)
    )

    assert ours.spki == other.spki
    assert ours.name != other.name
    assert (ours.attests, other.attests) == (True, False)


@pytest.mark.parametrize(
    "attributes",
    [
        RESTRICTED_SIGNING & ~0x00010000,  # not restricted
        RESTRICTED_SIGNING & ~0x00040000,  # does not sign
        RESTRICTED_SIGNING & ~0x00000002,  # may move to another TPM
        RESTRICTED_SIGNING & ~0x00000010,  # may move to another parent
        RESTRICTED_SIGNING & ~0x00000020,  # was made outside, where a copy may be
        RESTRICTED_SIGNING | 0x00020000,  # decrypts too
    ],
)
def test_keys_that_could_sign_more_do_not_attest(attributes: int) -> None:
    """Restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin, not decrypt: all six."""
    assert not parse_public(public_area(KEY, attributes)).attests


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_keys_on_each_curve_are_read(curve: ec.EllipticCurve) -> None:
    """P-256, P-384 and P-521."""
    key = ec.derive_private_key(7, curve)

    assert parse_public(public_area(key)).key == key.public_key()


def test_points_without_leading_zeros_are_read() -> None:
    """Older TPMs leave them out."""
    key = next(
        key
        for key in (ec.derive_private_key(number, ec.SECP256R1()) for number in range(1, 2000))
        if key.public_key().public_numbers().x >> 248 == 0
    )
    numbers = key.public_key().public_numbers()
    area = public_area(key)[:-68] + sized(numbers.x.to_bytes(31, "big"))

    assert parse_public(area + sized(numbers.y.to_bytes(32, "big"))).key == key.public_key()


def _public(
    kind: int = 0x23, name_hash: int = 0x0B, attributes: int = 0x72, rest: str = ""
) -> bytes:
    return struct.pack(">HHI", kind, name_hash, attributes) + sized(b"") + bytes.fromhex(rest)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (_public(kind=0x08), "key type 0x0008"),
        (_public(name_hash=0x12), "hash sm3_256 is not supported"),
        (_public(name_hash=0x99), "hash 0x0099 is not supported"),
        (_public(attributes=0x80000000), "attributes that are reserved"),
        (_public(rest="0013"), "cut at byte"),
        (_public(rest="0013 0080 0043"), "its symmetric cipher is not AES-CFB"),
        (_public(rest="0010 001a"), "scheme 0x001a"),
        (_public(rest="0010 0010 0010 0010"), "curve or KDF"),
        (_public(rest="0010 0010 0003 0020"), "curve or KDF"),
        (_public(rest="0010 0010 0003 0010 0001 01 0001 01"), "not on its curve"),
        (_public(rest="0010 0010 0003 0010 0021" + "00" * 33 + "0000"), "its point is too long"),
        (_public(kind=1, rest="0010 0018"), "scheme 0x0018"),
        (_public(kind=1, rest="0010 0010 0800 00000000 0001 01"), "has not 2048 bits"),
        (_public(kind=1, rest="0010 0010 0400 00000000 0080" + "ff" * 128), "has not 1024 bits"),
        (_public(kind=1, rest="0010 0010 0800 00000002 0100" + "ff" * 256), "no RSA key"),
        (public_area(KEY) + b"\0", "1 bytes follow"),
    ],
)
def test_other_keys_are_refused(data: bytes, detail: str) -> None:
    """Each flaw by its name."""
    with pytest.raises(EvidenceMalformedError, match=detail):
        parse_public(data)


def test_keys_with_a_scheme_are_read() -> None:
    """A scheme in the public area names a hash, except RSAES."""
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    end = struct.pack(">HI", 2048, 65537) + sized(modulus.to_bytes(256, "big"))
    for scheme in ("0014000b", "0016000b", "0017000b", "0015", "0010"):
        area = _public(kind=1, rest="0010" + scheme) + end
        assert parse_public(area).symmetric == 0


def test_signatures_of_each_scheme_are_read() -> None:
    """RSASSA, RSAPSS and ECDSA."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    made = [sign(rsa_key, b""), sign(rsa_key, b"", pss=True), sign(KEY, b"", algorithm="sha384")]

    assert [(item.scheme, item.hash) for item in map(parse_signature, made)] == [
        ("rsassa", "sha256"),
        ("rsapss", "sha256"),
        ("ecdsa", "sha384"),
    ]


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ("001a 000b 0000", "scheme 0x001a"),
        ("0005 000b" + "00" * 32, "scheme 0x0005"),
        ("0018 0012 0000 0000", "hash sm3_256 is not supported"),
        ("0014 000b 0001", "cut at byte"),
        ("0014 000b 0000 00", "1 bytes follow"),
    ],
)
def test_other_signatures_are_refused(data: str, detail: str) -> None:
    """HMAC, ECDAA, hashes that nobody computes."""
    with pytest.raises(EvidenceMalformedError, match=detail):
        parse_signature(bytes.fromhex(data))


@given(st.binary(max_size=200))
def test_parsers_raise_nothing_but_malformed(data: bytes) -> None:
    """Whatever the bytes, and whatever follows a valid start."""
    for parse, start in (
        (parse_attest, attest(b"")),
        (parse_attest, attest(QUOTED)[:20]),
        (parse_public, public_area(KEY)[:10]),
        (parse_signature, sign(KEY, b"")[:4]),
    ):
        for example in (data, start + data):
            try:
                parse(example)
            except EvidenceMalformedError:
                continue
