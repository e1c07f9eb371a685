# SPDX-License-Identifier: Apache-2.0
"""The PCK certificate extension."""

import pytest

from accord.errors import EvidenceMalformedError
from accord.evidence.intel._pck import parse_pck_extension
from accord.testing import _pki

EXTENSION = _pki._pck_extension(bytes(range(16)))


def test_the_extension_names_the_platform() -> None:
    """PPID, SVNs, PCE-ID and FMSPC are found."""
    found = parse_pck_extension(EXTENSION)

    assert bytes(range(16)) == found.ppid
    assert (found.svns, found.pcesvn) == (_pki.SGX_SVNS, _pki.PCESVN)
    assert (found.pceid, found.fmspc) == (_pki.PCEID, _pki.FMSPC)


def test_two_byte_versions_are_read() -> None:
    """A security version above 127 carries a sign byte, and is positive."""
    wide = EXTENSION.replace(b"\x02\x11\x02\x01\x0b", b"\x02\x11\x02\x01\x7f")

    assert parse_pck_extension(wide).pcesvn == 127


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0d010104", "0d010204"),  # PPID named as TCB: an OID twice
        ("0d010104", "0d020104"),  # outside the arc
        ("0d010104", "0d010904"),  # PPID missing
        ("0d01010410", "0d01010510"),  # PPID with another type
        ("0b2a864886f84d010d0102110201", "0b2a864886f84d010d01021102ff"),  # cut
        ("0d01021102010b", "0d0102110201ff"),  # negative version
        ("06042a", "05042a"),
    ],
)
def test_a_damaged_extension_is_refused(old: str, new: str) -> None:
    """A member that is missing, doubled, mistyped, foreign or negative is refused."""
    data = EXTENSION.hex()
    damaged = data.replace(old, new, 1) if old in data else data.replace("06", "05", 1)
    with pytest.raises(EvidenceMalformedError):
        parse_pck_extension(bytes.fromhex(damaged))


@pytest.mark.parametrize("number", [b"", b"\x00\x01", b"\x01\x02\x03\x04"])
def test_a_version_that_is_not_minimal_or_too_long_is_refused(number: bytes) -> None:
    """Versions have one spelling and at most 16 bits (X.690, 8.3.2)."""
    arc = bytes.fromhex("2a864886f84d010d01")

    def pair(oid: bytes, value: bytes) -> bytes:
        return _pki._der(0x30, _pki._der(0x06, arc + oid) + value)

    tcb = b"".join(pair(bytes((2, n)), _pki._der(0x02, number)) for n in range(1, 18))
    with pytest.raises(EvidenceMalformedError, match="version"):
        parse_pck_extension(_pki._der(0x30, pair(b"\2", _pki._der(0x30, tcb))))
