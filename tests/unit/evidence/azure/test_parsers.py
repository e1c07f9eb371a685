# SPDX-License-Identifier: Apache-2.0
"""HCL reports and runtime data are taken apart strictly, as far as anybody signs them."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.errors import AccordError, EvidenceMalformedError
from accord.evidence.azure import parse_hcl_report, parse_runtime_data
from accord.evidence.azure._report import MAX_REPORT_BYTES
from accord.evidence.azure._tdreport import parse_td_report
from accord.policy import Family
from accord.testing._azure import SETTINGS, write_hcl_report

MODULUS = "wAAAA" + "A" * 336 + "E"
KEY = {"kid": "HCLAkPub", "key_ops": ["encrypt"], "kty": "RSA", "e": "AQAB", "n": MODULUS}
HEADER_BYTES, RUNTIME_HEADER_AT = 32, 1216


def document(**changes: Any) -> bytes:
    """Runtime data in which everything is right but ``changes``."""
    written = {"keys": [KEY], "vm-configuration": dict(SETTINGS), **changes}
    return json.dumps({key: value for key, value in written.items() if value is not None}).encode()


def report(runtime: bytes = b"{}", hardware: Family = Family.SNP) -> bytes:
    return write_hcl_report(hardware, bytes(1184), runtime)


def number_at(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + struct.pack("<I", number) + data[at + 4 :]


@pytest.mark.parametrize("hardware", [Family.SNP, Family.TDX])
@pytest.mark.parametrize("version", [1, 2])
def test_a_report_is_taken_apart(hardware: Family, version: int) -> None:
    """Both versions of the header, on both kinds of hardware."""
    parsed = parse_hcl_report(number_at(report(b"[1]", hardware), 4, version))

    assert (parsed.version, parsed.hardware, parsed.runtime) == (version, hardware, b"[1]")
    assert len(parsed.hardware_report) == 1184


@pytest.mark.parametrize(("number", "name"), [(1, "sha256"), (2, "sha384"), (3, "sha512")])
def test_a_report_says_which_hash_binds_it(number: int, name: str) -> None:
    """Report data have room for each of them."""
    import hashlib

    parsed = parse_hcl_report(number_at(report(), RUNTIME_HEADER_AT + 12, number))

    digest = hashlib.new(name, b"{}").digest()
    assert parsed.hash_name == name
    assert parsed.binds(digest.ljust(64, b"\0"))
    assert not parsed.binds(digest.ljust(64, b"\1") if len(digest) < 64 else bytes(64))


REFUSED = {
    "magic": b"HCLB" + report()[4:],
    "version": number_at(report(), 4, 3),
    "runtime version": number_at(report(), RUNTIME_HEADER_AT + 4, 2),
    "hardware": number_at(report(), RUNTIME_HEADER_AT + 8, 3),
    "hash": number_at(report(), RUNTIME_HEADER_AT + 12, 4),
    "size": number_at(report(), RUNTIME_HEADER_AT, 23),
    "size of the JSON": number_at(report(), RUNTIME_HEADER_AT + 16, 1 << 31),
    "bytes after it": report() + b"\1",
    "cut": report()[:1200],
    "too large": report() + bytes(MAX_REPORT_BYTES),
    "empty": b"",
}


@pytest.mark.parametrize("flaw", REFUSED)
def test_a_malformed_report_is_refused(flaw: str) -> None:
    """What is not known could mean anything."""
    with pytest.raises(EvidenceMalformedError):
        parse_hcl_report(REFUSED[flaw])


def test_runtime_data_are_read() -> None:
    """Key, settings, user data; older paravisors call the key one that encrypts."""
    runtime = parse_runtime_data(document(**{"user-data": "AB" * 64}))

    assert runtime.settings == {
        "console_enabled": True,
        "root_cert_thumbprint": "",
        "secure_boot": True,
        "tpm_enabled": True,
        "tpm_persisted": False,
        "vm_unique_id": "00000000-0000-4000-8000-000000000000",
    }
    assert (runtime.user_data, runtime.unknown_settings) == (b"\xab" * 64, ())
    assert runtime.ak_spki.startswith(b"\x30\x82")


@pytest.mark.parametrize("text", [None, "", "00" * 64])
def test_user_data_that_nobody_wrote_are_none(text: str | None) -> None:
    """Left out, empty, or zeros."""
    assert parse_runtime_data(document(**{"user-data": text})).user_data == b""


def test_settings_of_tomorrow_are_named() -> None:
    """So that policies can refuse, or admit, what this program does not know."""
    settings = {**SETTINGS, "new": 1, "current-time": 7, "tpm-version": "1.38"}

    runtime = parse_runtime_data(document(**{"vm-configuration": settings, "above": []}))

    assert runtime.unknown_settings == ("above", "new")
    assert (runtime.settings["current_time"], runtime.settings["tpm_version"]) == (7, "1.38")


BAD_RUNTIME = {
    "no JSON": b"{",
    "no object": b"[]",
    "no UTF-8": b'{"keys":"\xff"}',
    "a key twice": b'{"keys":[],"keys":[]}',
    "no keys": document(keys=None),
    "no attestation key": document(keys=[{**KEY, "kid": "HCLEkPub"}]),
    "two attestation keys": document(keys=[KEY, KEY]),
    "no settings": document(**{"vm-configuration": None}),
    "a flag that is none": document(**{"vm-configuration": {"secure-boot": 1}}),
    "a time before all": document(**{"vm-configuration": {"current-time": -1}}),
    "an elliptic curve": document(keys=[{**KEY, "kty": "EC"}]),
    "a short key": document(keys=[{**KEY, "n": "w" * 100}]),
    "a long key": document(keys=[{**KEY, "n": "w" * 900}]),
    "an even exponent": document(keys=[{**KEY, "e": "Ag"}]),
    "no base64": document(keys=[{**KEY, "e": "A"}]),
    "base64 that is no text": document(keys=[{**KEY, "e": "\u00e9"}]),
    "short user data": document(**{"user-data": "00" * 63}),
    "user data that are no hex": document(**{"user-data": "zz" * 64}),
}


@pytest.mark.parametrize("flaw", BAD_RUNTIME)
def test_malformed_runtime_data_are_refused(flaw: str) -> None:
    """Signed or not, they must be what a paravisor writes."""
    with pytest.raises(EvidenceMalformedError, match="runtime data"):
        parse_runtime_data(BAD_RUNTIME[flaw])


@given(data=st.binary(max_size=300), start=st.sampled_from([b"", report()[:1236]]))
def test_any_bytes_are_a_report_or_refused(data: bytes, start: bytes) -> None:
    """Nothing but errors of the catalogue comes out."""
    for read in (parse_hcl_report, parse_runtime_data, parse_td_report):
        try:
            read(start + data)
        except AccordError:
            continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(value=JSON, name=st.sampled_from(["keys", "vm-configuration", "user-data", "kid", "n"]))
def test_any_json_is_runtime_data_or_refused(value: Any, name: str) -> None:
    """Whatever a paravisor could write."""
    changes = {"keys": [{**KEY, name: value}]} if name in KEY else {name: value}
    try:
        parse_runtime_data(document(**changes))
    except AccordError:
        return
