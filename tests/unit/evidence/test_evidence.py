# SPDX-License-Identifier: Apache-2.0
"""The document that carries evidence."""

import hashlib
from typing import Any

import pytest

from accord.encoding import Fields, canonical_json
from accord.errors import (
    MalformedError,
    NotCanonicalError,
    TooLargeError,
    UnsupportedFormatError,
)
from accord.evidence import Evidence


def test_a_document_reads_back_as_it_was_written(good: Any) -> None:
    """Writing and reading evidence changes nothing."""
    assert good.evidence == Evidence.from_bytes(good.evidence.to_bytes())


def test_the_digest_is_of_the_canonical_document(good: Any) -> None:
    """Anyone can recompute the storage address with sha256sum."""
    expected = "sha256:" + hashlib.sha256(good.evidence.to_bytes()).hexdigest()

    assert expected == good.evidence.digest


def test_another_spelling_is_refused(good: Any) -> None:
    """Evidence with white space around it is not what was addressed."""
    with pytest.raises(NotCanonicalError):
        Evidence.from_bytes(good.evidence.to_bytes() + b"\n")


def test_a_document_beyond_the_limit_is_refused_unread() -> None:
    """Evidence of more than a mebibyte is never parsed."""
    with pytest.raises(TooLargeError):
        Evidence.from_bytes(b" " * (1 << 20) + b" ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("root_ca_crl", "AB"),
        ("root_ca_crl", "a"),
        ("root_ca_crl", ""),
        ("pck_crl", 7),
        ("tcb_info_signature", "00"),
        ("qe_identity", None),
        ("tcb_info", "x" * (256 * 1024 + 1)),
        ("tcb_info", "\ud800"),
        ("pck_crl_issuer_chain", "\u00e9"),
        ("surprise", "x"),
    ],
)
def test_a_mistyped_collateral_field_is_refused(good: Any, field: str, value: object) -> None:
    """Collateral is read strictly: type, size, alphabet and names."""
    document = good.evidence.to_json()
    document["collateral"][field] = value
    with pytest.raises(MalformedError, match=field):
        Evidence.from_fields(Fields(document, "evidence"))


@pytest.mark.parametrize("change", [{"family": "sgx"}, {"blob": "AB=="}, {"surprise": 1}])
def test_a_mistyped_field_is_refused(good: Any, change: dict[str, Any]) -> None:
    """Unknown families, second base64 spellings and unknown fields are refused."""
    with pytest.raises(MalformedError):
        Evidence.from_bytes(canonical_json({**good.evidence.to_json(), **change}))


def test_another_schema_is_refused(good: Any) -> None:
    """Evidence of another version is not guessed at."""
    document = {**good.evidence.to_json(), "schema": "accord.evidence.v2"}
    with pytest.raises(UnsupportedFormatError):
        Evidence.from_bytes(canonical_json(document))
