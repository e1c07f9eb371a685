# SPDX-License-Identifier: Apache-2.0
"""The quote parser: every length adds up, or nothing is read."""

import dataclasses
import struct
from typing import Any

import pytest

from accord.errors import EvidenceMalformedError
from accord.evidence.intel._quote import SGXReport, TDReport, parse_quote
from accord.policy import Family
from accord.testing import _quote

SIZE_AT = 632
CERTIFICATION_AT = 636 + 128


def patched(blob: bytes, at: int, layout: str, *values: int) -> bytes:
    """``blob`` with little-endian numbers written at ``at``."""
    patch = struct.pack("<" + layout, *values)
    return blob[:at] + patch + blob[at + len(patch) :]


def td_report(blob: bytes) -> TDReport:
    """The report in a quote that is a TD's."""
    report = parse_quote(blob).report
    if not isinstance(report, TDReport):
        raise TypeError(report)
    return report


def test_fields_lie_where_the_specification_says(good: Any, generate: Any) -> None:
    """Each field of the TD report is cut at its documented offset."""
    blob, report = good.evidence.blob, td_report(good.evidence.blob)
    body = blob[48:]

    assert body[:16] == report.tee_tcb_svn
    assert int.from_bytes(body[120:128], "little") == report.td_attributes
    assert body[136:184] == report.mrtd == generate.measurements()["mrtd"]
    assert body[328:520] == b"".join(report.rtmrs)
    assert body[520:584] == report.report_data == good.binding.report_data()


@pytest.mark.parametrize(
    ("at", "layout", "value", "field"),
    [
        (0, "H", 2, "version"),
        (0, "H", 6, "version"),
        (0, "H", 3, "TEE type"),
        (0, "H", 5, "body type"),
        (2, "H", 3, "attestation key type"),
        (4, "I", 0, "TEE type"),
        (12, "B", 0, "QE vendor"),
        (SIZE_AT, "I", 1 << 31, "cut"),
        (SIZE_AT, "I", 10, "cut"),
        (CERTIFICATION_AT, "H", 5, "certification data type"),
        (CERTIFICATION_AT + 2, "I", 0, "has 0 bytes, but"),
        (CERTIFICATION_AT + 6 + 384 + 64, "H", 0xFFFF, "cut"),
        (CERTIFICATION_AT + 6 + 384 + 64 + 2 + 32 + 2, "I", 1, "has 1 bytes, but"),
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


@pytest.mark.parametrize("tail", [bytes(39), b"\nextra bytes\n", bytes(3065)])
def test_what_follows_a_quote_is_counted_and_ignored(good: Any, tail: bytes) -> None:
    """Platforms pad with zeros, tools append text: neither is part of the quote."""
    plain, padded = parse_quote(good.evidence.blob), parse_quote(good.evidence.blob + tail)

    assert (0, len(tail)) == (plain.padding, padded.padding)
    assert plain == dataclasses.replace(padded, padding=0)


def test_padding_has_a_limit(good: Any) -> None:
    """Bytes may follow a quote, but not without end."""
    padded = good.evidence.blob.ljust(16 << 10, b"\0")
    parse_quote(padded)

    with pytest.raises(EvidenceMalformedError, match="larger"):
        parse_quote(padded + b"\0")


@pytest.mark.parametrize(("kind", "size"), [(1, 384), (2, 648), (3, 584), (4, 648), (0, 0)])
def test_a_body_of_another_type_or_size_is_refused(
    good: Any, maker: Any, kind: int, size: int
) -> None:
    """Version 5 says which body follows, and how long it is: both must fit."""
    blob = maker.world.quote(maker.data, version=5)
    with pytest.raises(EvidenceMalformedError, match="body type"):
        parse_quote(patched(blob, 48, "HI", kind, size))


def test_a_body_of_version_five_lies_after_its_type(maker: Any, generate: Any) -> None:
    """The body 1.5 is the body 1.0 with two fields more."""
    older = td_report(maker.world.quote(maker.data))
    newer = td_report(
        maker.world.quote(maker.data, version=5, td_report="1.5", mrservicetd=b"\7" * 48)
    )

    assert (older.body, newer.body) == ("1.0", "1.5")
    assert older == dataclasses.replace(newer, mrservicetd=None, tee_tcb_svn_2=None)


def test_an_enclave_report_lies_where_the_specification_says(maker: Any, generate: Any) -> None:
    """Each field of the SGX report is cut at its documented offset."""
    config = bytes(range(64))
    blob = _quote.write_sgx_quote(
        _quote.sgx_report(
            {**generate.enclave(), "config_id": config},
            maker.data,
            isv_prod_id=0x1234,
            isv_svn=0x5678,
            config_svn=0x9ABC,
        ),
        attestation=maker.world.attestation,
        certification=maker.world.certification(Family.SGX),
    )
    quote, body = parse_quote(blob), blob[48:432]
    report = quote.report
    assert isinstance(report, SGXReport)

    assert body[48:64] == report.attributes
    assert body[64:96] == report.mrenclave
    assert body[128:160] == report.mrsigner
    assert config == body[192:256] == report.config_id
    assert (report.isv_prod_id, report.isv_svn, report.config_svn) == (0x1234, 0x5678, 0x9ABC)
    assert body[320:384] == report.report_data
    assert blob[:432] == quote.signed
