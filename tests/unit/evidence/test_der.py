# SPDX-License-Identifier: Apache-2.0
"""The DER reader."""

import pytest

from accord.errors import EvidenceMalformedError
from accord.evidence._der import dotted, elements, sequence


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ("30", "cut"),
        ("3001", "cut"),
        ("1f0100", "multi-byte tag"),
        ("3080", "no usable length"),
        ("308400000000", "no usable length"),
        ("3082ff", "no usable length"),
        ("30820001ff", "not minimal"),
        ("308101ff", "not minimal"),
    ],
)
def test_an_element_with_a_bad_length_is_refused(data: str, detail: str) -> None:
    """Lengths are definite, minimal and within the data (X.690, 10.1)."""
    with pytest.raises(EvidenceMalformedError, match=detail):
        elements(bytes.fromhex(data), what="test")


@pytest.mark.parametrize("data", ["", "0400", "30003000"])
def test_anything_but_one_sequence_is_refused(data: str) -> None:
    """Where one SEQUENCE is due, nothing may stand beside it or in its place."""
    with pytest.raises(EvidenceMalformedError, match="one SEQUENCE"):
        sequence(bytes.fromhex(data), what="test")


def test_a_long_form_length_is_read() -> None:
    """An element of 200 bytes is read whole."""
    assert [bytes(200)] == [item.value for item in elements(b"\x04\x81\xc8" + bytes(200), what="")]


@pytest.mark.parametrize(
    "oid",
    [
        b"\x2a" + b"\xff" * 2100 + b"\x01",
        b"\x2a" + b"\xff" * 60 + b"\x01",
        b"\x2a" + b"\x01" * 64,
        b"\x2a\x84" + b"\x80" * 17 + b"\0",
        b"\x2a\x86",
        b"",
    ],
)
def test_an_object_identifier_of_absurd_size_is_malformed(oid: bytes) -> None:
    """A number of thousands of digits raised ValueError where it was shown."""
    assert dotted(oid) == ""


def test_object_identifiers_in_use_are_read() -> None:
    """Up to that of a UUID, whose last number has 128 bits (ITU-T X.667)."""
    assert dotted(bytes.fromhex("2a864886f84d010d01")) == "1.2.840.113741.1.13.1"
    uuid = b"\x69\x83" + b"\xff" * 17 + b"\x7f"
    assert dotted(uuid) == f"2.25.{2**128 - 1}"


def test_more_elements_than_allowed_are_not_walked() -> None:
    """Two bytes each, they would cost more than what they are part of."""
    with pytest.raises(EvidenceMalformedError, match="more than 3 elements"):
        sequence(b"\x30\x08" + b"\5\0" * 4, what="test", most=3)
