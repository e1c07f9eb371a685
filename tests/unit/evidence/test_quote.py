# SPDX-License-Identifier: Apache-2.0
"""The quote parser: every length adds up, or nothing is read."""

import struct
from typing import Any

import pytest

from accord.errors import EvidenceMalformedError
from accord.evidence._quote import parse_quote

SIZE_AT = 632
CERTIFICATION_AT = 636 + 128


def patched(blob: bytes, at: int, layout: str, *values: int) -> bytes:
    """``blob`` with little-endian numbers written at ``at``."""
    patch = struct.pack("<" + layout, *values)
    return blob[:at] + patch + blob[at + len(patch) :]


def test_fields_lie_where_the_specification_says(good: Any, generate: Any) -> None:
    """Each field of the TD report is cut at its documented offset."""
    blob, report = good.evidence.blob, parse_quote(good.evidence.blob).report
    body = blob[48:]

    assert body[:16] == report.tee_tcb_svn
    assert body[120:128] == report.td_attributes
    assert body[136:184] == report.mrtd == generate.measurements()["mrtd"]
    assert body[328:520] == b"".join(report.rtmrs)
    assert body[520:584] == report.report_data == good.binding.report_data()


@pytest.mark.parametrize(
    ("at", "layout", "value", "field"),
    [
        (0, "H", 3, "version"),
        (2, "H", 3, "attestation key type"),
        (4, "I", 0, "TEE type"),
        (12, "B", 0, "QE vendor"),
        (SIZE_AT, "I", 1 << 31, "cut"),
        (SIZE_AT, "I", 10, "follow"),
        (CERTIFICATION_AT, "H", 5, "certification data type"),
        (CERTIFICATION_AT + 2, "I", 0, "says it has 0 bytes"),
        (CERTIFICATION_AT + 6 + 384 + 64, "H", 0xFFFF, "cut"),
        (CERTIFICATION_AT + 6 + 384 + 64 + 2 + 32, "H", 6, "certification data type"),
        (CERTIFICATION_AT + 6 + 384 + 64 + 2 + 32 + 2, "I", 1, "says it has 1 bytes"),
    ],
)
def test_a_wrong_type_or_length_is_refused(
    good: Any, at: int, layout: str, value: int, field: str
) -> None:
    """Types and lengths are checked at every level of nesting."""
    with pytest.raises(EvidenceMalformedError, match=field):
        parse_quote(patched(good.evidence.blob, at, layout, value))


def test_a_quote_is_refused_at_every_length_but_its_own(good: Any) -> None:
    """No proper beginning of a quote parses."""
    blob = good.evidence.blob
    for size in range(0, len(blob), 61):
        with pytest.raises(EvidenceMalformedError):
            parse_quote(blob[:size])


def test_padding_has_a_limit(good: Any) -> None:
    """Zeros may follow a quote, but not without end."""
    padded = good.evidence.blob.ljust(16 << 10, b"\0")

    assert parse_quote(good.evidence.blob) == parse_quote(padded)
    with pytest.raises(EvidenceMalformedError, match="larger"):
        parse_quote(padded + b"\0")
