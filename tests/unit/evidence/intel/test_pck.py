# SPDX-License-Identifier: Apache-2.0
"""The PCK certificate extension."""

import pytest

from accord.errors import EvidenceMalformedError
from accord.evidence._der import sequence
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
        ("0d0101050a0101", "0d0101050a0103"),  # an SGX type that nobody defined
        ("0d0101050a01", "0d0101050201"),  # SGX type with another type
        ("0d010107010101", "0d010107010401"),  # a flag that is no flag
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


def test_a_single_package_platform_has_no_flags() -> None:
    """Only multi-package platforms say whether keys are cached, and SMT is on."""
    arc = bytes.fromhex("2a864886f84d010d01")
    members = [
        _pki._der(0x30, _pki._der(0x06, arc + bytes((number,))) + value)
        for number, value in (
            (1, _pki._der(0x04, bytes(16))),
            (3, _pki._der(0x04, bytes(2))),
            (4, _pki._der(0x04, bytes(6))),
            (5, _pki._der(0x0A, b"\0")),
        )
    ]
    tcb = next(item.raw for item in sequence(EXTENSION, what="test") if arc + b"\2\1" in item.raw)
    found = parse_pck_extension(_pki._der(0x30, b"".join((*members, tcb))))

    assert found.sgx_type == "standard"
    assert found.platform_instance_id is None
    assert (found.dynamic_platform, found.cached_keys, found.smt_enabled) == (None, None, None)


def test_a_flag_that_is_false_is_told() -> None:
    """A platform with SMT off says so."""
    off = EXTENSION.replace(bytes.fromhex("0d0107030101ff"), bytes.fromhex("0d010703010100"))
    found = parse_pck_extension(off)

    assert off != EXTENSION
    assert (found.dynamic_platform, found.smt_enabled) == (True, False)
