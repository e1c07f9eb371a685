# SPDX-License-Identifier: Apache-2.0
"""The DER reader."""

import pytest

from accord.errors import EvidenceMalformedError
from accord.evidence._der import elements, sequence


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
