# SPDX-License-Identifier: Apache-2.0
"""Quotes as other tools write them."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Callable
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tpm import ALGORITHMS, ForgedTPM, attest, sign, sized
from tests.unit.evidence.tpm.conftest import NOW

from accord.errors import EvidenceMalformedError
from accord.evidence import Evidence, verify_unbound
from accord.evidence.tpm import (
    import_go_attestation,
    import_quote,
    import_response,
    import_trust_agent,
    parse_quote,
)

REGISTERS = {
    ("sha256", 0): bytes([1]) * 32,
    ("sha256", 9): bytes([2]) * 32,
    ("sha1", 3): bytes([3]) * 20,
}
FORGER = ForgedTPM()
MADE = FORGER.evidence(REGISTERS)
ATTESTED = parse_quote(MADE.blob).attested
SIGNATURE = MADE.blob[4 + len(ATTESTED) :]
VALUES = b"".join(REGISTERS.values())
AUX = {"ak_public": MADE.aux["ak_public"]}


def tools_file(count: int = 2, used: int = 3, bank: int = 0x000B) -> bytes:
    """What ``tpm2_quote -o`` writes: structures of C, padded to their largest size."""
    selections = struct.pack("<I", count)
    for algorithm, bits in ((bank, 1 | 1 << 9), (ALGORITHMS["sha1"], 1 << 3)):
        selections += struct.pack("<HB", algorithm, 3) + bits.to_bytes(4, "little") + b"\0"
    digests = [
        struct.pack("<H", len(value)) + value.ljust(64, b"\0") for value in REGISTERS.values()
    ]
    lists = struct.pack("<I", used) + b"".join(digests) + bytes(66 * 5)
    return selections.ljust(4 + 16 * 8, b"\0") + struct.pack("<I", 1) + lists


def verified(evidence: Evidence) -> bool:
    claims, _ = verify_unbound(evidence, anchors=[FORGER.anchor], now=NOW)
    return dict(claims.measurements) == {
        f"{bank}.pcr{index}": value for (bank, index), value in REGISTERS.items()
    }


@pytest.mark.parametrize("values", [VALUES, tools_file()])
def test_a_quote_of_tpm2_tools_verifies(values: bytes) -> None:
    """With registers as plain values, or as the tools' own structures."""
    assert verified(import_quote(ATTESTED, SIGNATURE, values=values, aux=AUX))


@pytest.mark.parametrize(
    "values",
    [
        b"",
        VALUES[:-1],
        tools_file()[:-1],
        tools_file() + b"\0",
        tools_file(count=1),
        tools_file(used=2),
        tools_file(bank=0x000C),
        tools_file(bank=0x9999),
    ],
)
def test_registers_of_another_quote_are_refused(values: bytes) -> None:
    """Cut, too many, of another selection."""
    with pytest.raises(EvidenceMalformedError):
        import_quote(ATTESTED, SIGNATURE, values=values, aux=AUX)


def test_a_response_of_a_tpm_verifies() -> None:
    """TPM2_Quote returns the signature without a length."""
    assert verified(import_response(sized(ATTESTED) + SIGNATURE + VALUES, aux=AUX))


def test_a_certification_is_no_quote() -> None:
    """It says nothing of registers."""
    attested = attest(sized(b"") * 2, kind=0x8017)

    with pytest.raises(EvidenceMalformedError, match="attests a key"):
        import_quote(attested, sign(FORGER.key, attested), values=b"", aux=AUX)


def go_document(**changes: object) -> bytes:
    document = {
        "AK": {"Public": b64encode(AUX["ak_public"]).decode()},
        "Quote": {
            "Quote": b64encode(ATTESTED).decode(),
            "Signature": b64encode(SIGNATURE).decode(),
        },
        "Log": {
            "PCRs": [
                {
                    "Index": index,
                    "DigestAlg": {"sha1": 3, "sha256": 5}[bank],
                    "Digest": b64encode(value).decode(),
                }
                for (bank, index), value in reversed(REGISTERS.items())
            ],
            "Raw": "",
        },
    }
    return json.dumps(document | changes).encode()


def test_a_document_of_go_attestation_is_read() -> None:
    """Registers in any order."""
    evidence = import_go_attestation(go_document())

    assert (evidence.blob, evidence.aux["pcrs"]) == (MADE.blob, MADE.aux["pcrs"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        go_document(AK={}),
        go_document(AK={"Public": "?"}),
        go_document(Log={"PCRs": [], "Raw": ""}),
        b" " * (5 << 20),
    ],
)
def test_other_documents_are_refused(data: bytes) -> None:
    """Nothing but errors of the catalogue."""
    with pytest.raises(EvidenceMalformedError):
        import_go_attestation(data)


def agent_answer(quote: str, log: str = "[]", aik: str = "") -> bytes:
    return f"<r><aik>{aik}</aik><quote>{quote}</quote><eventLog>{log}</eventLog></r>".encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        agent_answer("", aik="?"),
        agent_answer("", aik=b64encode(b"no certificate").decode()),
        agent_answer("") * 2,
    ],
)
def test_other_answers_are_refused(data: bytes) -> None:
    """Nothing but errors of the catalogue."""
    with pytest.raises(EvidenceMalformedError):
        import_trust_agent(data)


@given(st.binary(max_size=200), st.text(max_size=50))
def test_importers_raise_nothing_but_malformed(data: bytes, text: str) -> None:
    """Whatever the bytes."""
    uses: tuple[Callable[[], Evidence], ...] = (
        lambda: import_response(data, aux=AUX),
        lambda: import_response(sized(ATTESTED) + SIGNATURE + data, aux=AUX),
        lambda: import_quote(ATTESTED, SIGNATURE, values=tools_file()[:137] + data, aux=AUX),
        lambda: import_go_attestation(data),
        lambda: import_trust_agent(agent_answer(escape(text), escape(text), escape(text))),
    )
    for use in uses:
        try:
            use()
        except EvidenceMalformedError:
            continue
