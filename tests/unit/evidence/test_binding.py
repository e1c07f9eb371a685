# SPDX-License-Identifier: Apache-2.0
"""The 64 bytes that bind evidence to one request."""

import dataclasses
import hashlib
from typing import Any

import pytest

from accord.evidence import Binding, Purpose, Role

BINDING = Binding(
    purpose=Purpose.CHANNEL,
    role=Role.SERVICE,
    nonce=b"n" * 32,
    spki_sha256=b"k" * 32,
    tls_exporter=None,
    claims_digest=b"c" * 32,
)


def test_report_data_follow_the_specification_byte_by_byte() -> None:
    """Report data are SHA-512 over label, zero byte and hand-written deterministic CBOR."""
    cbor = b"\x86\x67channel\x67service\x58\x20" + b"n" * 32
    cbor += b"\x58\x20" + b"k" * 32 + b"\xf6" + b"\x58\x20" + b"c" * 32

    assert hashlib.sha512(b"accord/attest/v1\0" + cbor).digest() == BINDING.report_data()


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": Purpose.LOG},
        {"role": Role.SHIELD},
        {"nonce": bytes(32)},
        {"spki_sha256": bytes(32)},
        {"tls_exporter": b""},
        {"claims_digest": bytes(32)},
    ],
)
def test_every_field_changes_the_report_data(change: dict[str, Any]) -> None:
    """No two bindings that differ in one field share report data."""
    assert BINDING.report_data() != dataclasses.replace(BINDING, **change).report_data()


@pytest.mark.parametrize("field", ["nonce", "spki_sha256", "claims_digest"])
def test_a_value_of_another_size_is_a_bug_of_the_caller(field: str) -> None:
    """A short nonce or digest cannot be bound to."""
    short: dict[str, Any] = {field: b"short"}
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(BINDING, **short)
