# SPDX-License-Identifier: Apache-2.0
"""The document that carries evidence."""

import dataclasses
import hashlib
from typing import Any

import pytest

from accord.encoding import Fields, canonical_json
from accord.errors import (
    EncodingError,
    MalformedError,
    NotCanonicalError,
    TooLargeError,
    UnsupportedFormatError,
)
from accord.evidence import Evidence
from accord.evidence._evidence import MAX_EVIDENCE_BYTES, MAX_PARTS
from accord.policy import Family


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
    """Evidence of more than 32 MiB is never parsed."""
    with pytest.raises(TooLargeError):
        Evidence.from_bytes(b" " * MAX_EVIDENCE_BYTES + b" ")


def test_attachments_and_parts_read_back(good: Any) -> None:
    """Endorsements, logs and parts of the machine travel in one document."""
    whole = dataclasses.replace(
        good.evidence,
        aux={"ccel": b"log"},
        parts={"vtpm": Evidence(Family.TPM, b"quote", aux={"pcrs": b""})},
    )

    assert whole == Evidence.from_bytes(whole.to_bytes())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("endorsements", {}),
        ("endorsements", []),
        ("endorsements.tcb_info", 7),
        ("endorsements.tcb_info", "AB=="),
        ("aux", {}),
        ("aux", {"ccel": None}),
        ("parts", {}),
        ("parts", {"vtpm": {}}),
    ],
)
def test_a_mistyped_attachment_is_refused(good: Any, path: str, value: object) -> None:
    """Attachments are base64 by name, and an empty list of them has one spelling: none."""
    document = good.evidence.to_json()
    *above, name = path.split(".")
    spot = document[above[0]] if above else document
    spot[name] = value
    with pytest.raises(EncodingError):
        Evidence.from_fields(Fields(document, "evidence"))


def test_a_part_has_no_parts(good: Any) -> None:
    """One level is all that machines have."""
    document = good.evidence.to_json()
    document["parts"] = {"gpu0": {**document, "parts": {"gpu1": document}}}
    with pytest.raises(MalformedError, match="parts"):
        Evidence.from_fields(Fields(document, "evidence"))


def test_more_parts_than_a_machine_has_are_refused(good: Any) -> None:
    """Nobody has 33 GPUs."""
    document = good.evidence.to_json()
    document["parts"] = {f"gpu{index}": dict(document) for index in range(MAX_PARTS + 1)}
    with pytest.raises(MalformedError, match="more than 32 parts"):
        Evidence.from_fields(Fields(document, "evidence"))


@pytest.mark.parametrize("change", [{"family": "sgx2"}, {"blob": "AB=="}, {"surprise": 1}])
def test_a_mistyped_field_is_refused(good: Any, change: dict[str, Any]) -> None:
    """Unknown families, second base64 spellings and unknown fields are refused."""
    with pytest.raises(MalformedError):
        Evidence.from_bytes(canonical_json({**good.evidence.to_json(), **change}))


def test_another_schema_is_refused(good: Any) -> None:
    """Evidence of another version is not guessed at."""
    document = {**good.evidence.to_json(), "schema": "accord.evidence.v2"}
    with pytest.raises(UnsupportedFormatError):
        Evidence.from_bytes(canonical_json(document))
