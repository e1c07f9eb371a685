# SPDX-License-Identifier: Apache-2.0
"""Raw TPM commands: what a software TPM does with them, and what a broken TPM answers."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

import pytest
from tests.support.tpm import sized

from accord.attesters._tpm_commands import (
    AK_P256,
    AK_RSA2048,
    ENDORSEMENT,
    OWNER,
    TPM,
)
from accord.errors import TPMCommandError
from accord.evidence.tpm import Quoted, Selection, parse_attest, parse_public, parse_signature
from accord.testing import SoftwareTPM

INDEX = 0x01800001


@pytest.mark.parametrize("template", [AK_P256, AK_RSA2048])
@pytest.mark.parametrize("hierarchy", [ENDORSEMENT, OWNER])
def test_a_quote_is_of_what_was_asked(
    software_tpm: SoftwareTPM, template: bytes, hierarchy: int
) -> None:
    """Selection, qualifying data, scheme."""
    tpm = software_tpm.tpm
    public, key = tpm.create_primary(hierarchy, template)
    attested, signature = tpm.quote(key, b"asked", {"sha384": [23, 0], "sha1": [7]})
    attest = parse_attest(attested)

    assert parse_public(public).attests
    assert attest.extra_data == b"asked"
    assert isinstance(attest.attested, Quoted)
    assert attest.attested.selections == (Selection("sha384", (0, 23)), Selection("sha1", (7,)))
    assert parse_signature(signature).hash == "sha256"


def test_registers_are_extended_and_read(software_tpm: SoftwareTPM) -> None:
    """All 24 of a bank, though one command returns eight; those of no bank are left out."""
    tpm, digest = software_tpm.tpm, bytes([7]) * 32
    tpm.pcr_extend(5, {"sha256": digest})
    values = tpm.pcr_read({"sha256": range(24)})

    assert list(values) == [("sha256", index) for index in range(24)]
    assert values["sha256", 5] == hashlib.sha256(bytes(32) + digest).digest()


def test_long_values_go_through_an_index(software_tpm: SoftwareTPM) -> None:
    """Longer than one command can carry."""
    tpm, data = software_tpm.tpm, bytes(range(256)) * 5
    tpm.nv_define(INDEX, len(data))
    tpm.nv_write(INDEX, data)

    assert (tpm.nv_size(INDEX), tpm.nv_read(INDEX)) == (len(data), data)
    tpm.nv_undefine(INDEX)
    with pytest.raises(TPMCommandError, match="TPM2_NV_ReadPublic: response code 0x18b"):
        tpm.nv_read(INDEX)


def test_keys_are_forgotten_when_flushed(software_tpm: SoftwareTPM) -> None:
    """A TPM has room for three; more fit one after the other."""
    tpm = software_tpm.tpm
    made = [tpm.create_primary(ENDORSEMENT, AK_P256)[1] for _ in range(3)]
    with pytest.raises(TPMCommandError, match="TPM2_CreatePrimary: response code 0x902"):
        tpm.create_primary(ENDORSEMENT, AK_P256)
    tpm.flush(made[0])

    assert tpm.create_primary(ENDORSEMENT, AK_P256)[1] == made[0]


def answering(*responses: bytes) -> Callable[[bytes], bytes]:
    """A TPM that answers anything with ``responses``, the last for ever."""
    left = list(responses)

    def transmit(_: bytes) -> bytes:
        return left.pop(0) if len(left) > 1 else left[0]

    return transmit


def response(body: bytes, *, tag: int = 0x8001, code: int = 0, more: int = 0) -> bytes:
    return struct.pack(">HII", tag, 10 + len(body) + more, code) + body


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"", "its response is cut"),
        (response(b"")[:9], "its response is cut"),
        (response(b"", code=0x101), "response code 0x101"),
        (response(b"", more=1), "wrong header"),
        (response(sized(b"") * 2, tag=0x8002), "wrong header"),
        (response(b"\0\5abc"), "its response is cut"),
    ],
)
def test_a_broken_answer_is_an_error(answer: bytes, detail: str) -> None:
    """Cut, refused, of a wrong size or tag."""
    with pytest.raises(TPMCommandError, match=detail):
        TPM(answering(answer)).read_public(1)


def test_a_command_is_sent_again_when_the_tpm_asks_for_it() -> None:
    """A TPM may have to test an algorithm first, but not for ever."""
    again = response(b"", code=0x922)
    good = response(sized(b"public") + sized(b"name"))

    assert TPM(answering(again, again, good)).read_public(1) == (b"public", b"name")
    with pytest.raises(TPMCommandError, match="0x922"):
        TPM(answering(again)).read_public(1)


def test_an_index_that_returns_nothing_is_an_error() -> None:
    """Otherwise reading it would never end."""
    public = response(sized(bytes(12) + b"\0\5"))
    nothing = response(struct.pack(">I", 2) + sized(b"") + bytes(5), tag=0x8002)

    with pytest.raises(TPMCommandError, match="it returned nothing"):
        TPM(answering(public, nothing)).nv_read(INDEX)


def test_a_bank_without_registers_is_left_out() -> None:
    """What is not allocated has no values."""
    none = response(struct.pack(">IIHB3xI", 0, 1, 0x000B, 3, 0))

    assert TPM(answering(none)).pcr_read({"sha256": [0]}) == {}
