# SPDX-License-Identifier: Apache-2.0
"""The strict reader of CBOR: what it reads, and what two readers could read differently."""

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.encoding import Tagged, decode_cbor
from accord.errors import AccordError, MalformedError, TooLargeError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=4)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.integers(-9, 9) | st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_whatever_is_written_is_read(value: Any) -> None:
    """Numbers of 64 bits, bytes, text, lists and maps."""
    assert decode_cbor(cbor2.dumps(value), what="x") == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("1800", 0),  # longer than it need be: constrained devices may
        ("1b0000000000000001", 1),
        ("3900ff", -256),
        ("f7", None),
        ("f93c00", 1.0),
        ("fa3f800000", 1.0),
    ],
)
def test_variants_are_read(data: str, value: object) -> None:
    """Longer numbers, floats, undefined."""
    assert value == decode_cbor(bytes.fromhex(data), what="x")


def test_tags_are_left_to_the_caller() -> None:
    """None is obeyed: neither times, nor references, nor big numbers."""
    for number in (0, 2, 28, 29, 501):
        data = cbor2.dumps(cbor2.CBORTag(501, [1])).replace(
            b"\xd9\x01\xf5", b"\xd9" + number.to_bytes(2)
        )
        assert decode_cbor(data, what="x") == Tagged(number, [1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x18",
        b"\x41",
        b"\x61\xff",
        b"\x82\x01",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x9f\xff",
        b"\x5f\xff",
        b"\xbf\xff",
        b"\xfa\x3f\x80",
        b"\xf8\x20",
        b"\xe0",
        b"\xff",
        b"\x1c",
        b"\xa2\x01\x02\x01\x03",
        b"\xa1\x80\x01",
        b"\xa1\xf5\x01",
        b"\xa1\xc1\x01\x01",
        b"\x01\x01",
        b"\x81" * 33 + b"\x01",
        b"\xc1" * 33 + b"\x01",
    ],
    ids=bytes.hex,
)
def test_what_two_readers_could_read_differently_is_refused(data: bytes) -> None:
    """Cut, indefinite, unknown, repeated keys, bytes after the end, too deep."""
    with pytest.raises(MalformedError):
        decode_cbor(data, what="x")


def test_the_limit_comes_first() -> None:
    """In bytes."""
    assert decode_cbor(b"\x41a", what="x", limit=2) == b"a"
    with pytest.raises(TooLargeError):
        decode_cbor(b"\x42ab", what="x", limit=2)


def test_thirty_two_levels_are_read() -> None:
    """And one more is not."""
    assert decode_cbor(b"\x81" * 32 + b"\x01", what="x")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_make_the_reader_fall_over(data: bytes) -> None:
    """A value, or an error of the catalogue."""
    try:
        decode_cbor(data, what="x")
    except AccordError as exc:
        shown = str(exc)
    else:
        return
    assert shown.isprintable()
