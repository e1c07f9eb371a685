# SPDX-License-Identifier: Apache-2.0
"""Founding a board: everybody signs the same document, or there is none."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.board import (
    MEMBERS,
    Person,
    genesis_json,
    member_json,
    sign_genesis,
    variant_json,
)

from accord.board import Genesis, verify_genesis
from accord.encoding import (
    Envelope,
    EnvelopeSignature,
    canonical_json,
    parse_time,
    pre_authentication_encoding,
    sha256,
)
from accord.errors import (
    AccordError,
    ConstitutionError,
    GenesisError,
    MalformedError,
    NotCanonicalError,
    UnsupportedFormatError,
)
from accord.identity import sign_statement

ALL = tuple(MEMBERS)


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in genesis_json().items() if k != name}


def test_genesis_round_trip() -> None:
    """The digest is that of the canonical document, whoever signed in whatever order."""
    genesis = verify_genesis(sign_genesis(genesis_json()))
    other_order = verify_genesis(sign_genesis(genesis_json(), *reversed(ALL)))

    assert genesis == other_order
    assert genesis.digest == sha256(canonical_json(genesis_json()))
    assert genesis == Genesis.from_bytes(genesis.to_bytes())
    assert genesis.charter.roles["ann"] == {"data-owner"}
    assert genesis.founded == parse_time("2026-01-14T12:00:00Z", what="founded")
    assert {Person.of(name).signer.key_id for name in ALL} == set(genesis.charter.keys)


@pytest.mark.parametrize("absent", ALL)
def test_half_signed_genesis_is_refused(absent: str) -> None:
    """Nobody is made a founder by the others, and the refusal names who has not signed."""
    envelope = sign_genesis(genesis_json(), *(name for name in ALL if name != absent))

    with pytest.raises(GenesisError, match=f"not signed by {absent}"):
        verify_genesis(envelope)


def test_unsigned_genesis_is_refused() -> None:
    """Without any signature."""
    with pytest.raises(GenesisError, match="not signed by ann, bob, lab, clinic"):
        verify_genesis(sign_statement("genesis", genesis_json(), []))


def test_extra_signer_is_refused() -> None:
    """A stranger's signature is not skipped: the document does not name him."""
    with pytest.raises(GenesisError, match="no valid signature"):
        verify_genesis(sign_genesis(genesis_json(), *ALL, "mallory"))


def test_genesis_signed_for_another_document_is_refused() -> None:
    """Signatures cannot be moved to a document with one more right."""
    changed = replace(
        sign_genesis(genesis_json()), payload=canonical_json(genesis_json(name="other"))
    )

    with pytest.raises(GenesisError, match="no valid signature"):
        verify_genesis(changed)


def test_statement_of_another_kind_is_no_genesis() -> None:
    """What members signed as something else founds nothing."""
    envelope = sign_statement("proposal", genesis_json(), [Person.of(n).signer for n in ALL])

    with pytest.raises(UnsupportedFormatError):
        verify_genesis(envelope)


def test_genesis_that_is_not_canonical_is_refused() -> None:
    """Even if everybody signed it."""
    media_type = "application/vnd.accord.genesis.v1+json"
    payload = canonical_json(genesis_json()) + b"\n"
    message = pre_authentication_encoding(media_type, payload)
    signatures = tuple(
        EnvelopeSignature(Person.of(n).signer.key_id, Person.of(n).signer.sign(message))
        for n in ALL
    )

    with pytest.raises(NotCanonicalError):
        verify_genesis(Envelope(media_type, payload, signatures))


def test_default_must_be_written_out() -> None:
    """Otherwise one board could have two digests."""
    short = {"family": "tdx", "measurements": variant_json()["measurements"], "simulated": True}

    with pytest.raises(GenesisError, match="a default was left out"):
        verify_genesis(sign_genesis(genesis_json(service=[short])))


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ([member_json("ann", "a"), member_json("ann", "b", key="bob")], "the same name"),
        ([member_json("ann", "a"), member_json("bob", "b", key="ann")], "the same key"),
    ],
)
def test_one_holder_cannot_be_two_members(members: list[Any], match: str) -> None:
    """Nobody votes twice."""
    document = genesis_json(members=members, constitution={"policy.enact": "member:ann"})

    with pytest.raises(GenesisError, match=match):
        Genesis.from_json(document)


def test_two_members_cannot_share_a_sealing_key() -> None:
    """What one may read, the other could."""
    shared = member_json("bob", "data-owner")
    shared["identity"]["seal_key"] = member_json("ann")["identity"]["seal_key"]
    document = genesis_json(
        members=[member_json("ann", "data-owner"), shared],
        constitution={"policy.enact": "member:ann"},
    )

    with pytest.raises(GenesisError, match="the same sealing key"):
        Genesis.from_json(document)


@pytest.mark.parametrize(
    ("document", "error"),
    [
        *((without(name), MalformedError) for name in genesis_json()),
        (genesis_json(extra=1), MalformedError),
        (genesis_json(schema="accord.genesis.v2"), UnsupportedFormatError),
        (genesis_json(members=[]), GenesisError),
        (genesis_json(anchors=[]), GenesisError),
        (genesis_json(anchors=["intel"]), MalformedError),
        (genesis_json(service=[]), GenesisError),
        (genesis_json(freshness="eternal"), MalformedError),
        (genesis_json(founded="yesterday"), MalformedError),
        (genesis_json(constitution={}), MalformedError),
        (genesis_json(constitution={"policy.enact": "member:zoe"}), ConstitutionError),
        (genesis_json(members=[{**member_json("ann"), "weight": -1}]), MalformedError),
        (genesis_json(members=[{**member_json("ann"), "roles": ["a", "a"]}]), MalformedError),
        ([], MalformedError),
        (None, MalformedError),
    ],
    ids=range(22),
)
def test_malformed_genesis_is_refused(document: Any, error: type[AccordError]) -> None:
    """A missing, unknown or empty part founds nothing."""
    with pytest.raises(error):
        Genesis.from_json(document)
