# SPDX-License-Identifier: Apache-2.0
"""Readers of entries, notes and checkpoints: one spelling, and never a traceback."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.encoding import Envelope, EnvelopeSignature, sha256
from accord.errors import AccordError
from accord.identity import KeySigner
from accord.ledger import (
    EMPTY_ROOT,
    Checkpoint,
    Entry,
    parse_vkey,
    sign_checkpoint,
    sign_note,
    verify_checkpoint,
    vkey,
)

SIGNER = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
NAME = "trust.example/log"
visible = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="+"),
    min_size=1,
    max_size=30,
).filter(str.isprintable)
envelopes = st.builds(
    Envelope,
    visible,
    st.binary(max_size=100),
    st.lists(
        st.builds(EnvelopeSignature, st.binary().map(sha256), st.binary(min_size=64, max_size=64)),
        min_size=1,
        max_size=3,
        unique_by=lambda item: item.key_id,
    ).map(tuple),
)
times = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)).map(  # noqa: DTZ001 - set next
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
entries = st.builds(Entry, st.integers(0, 2**53 - 1), times, envelopes)
checkpoints = st.one_of(
    st.builds(
        Checkpoint,
        visible,
        st.integers(1, 2**53 - 1),
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(Checkpoint, visible, st.just(0), st.just(EMPTY_ROOT)),
)


@settings(max_examples=100)
@given(entries)
def test_entries_are_read_as_written(entry: Entry) -> None:
    """Writing and reading are inverse."""
    assert Entry.from_bytes(entry.to_bytes()) == entry


@settings(max_examples=150)
@given(entries, st.data())
def test_a_changed_entry_is_refused_or_written_differently(
    entry: Entry, data: st.DataObject
) -> None:
    """What is read from changed bytes has exactly these bytes: no two spellings."""
    changed = bytearray(entry.to_bytes())
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        found = Entry.from_bytes(bytes(changed))
    except AccordError:
        return
    assert found.to_bytes() == bytes(changed)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_random_entries_are_refused(data: bytes) -> None:
    """Only our own errors come out of the reader."""
    try:
        Entry.from_bytes(data)
    except AccordError:
        return
    raise AssertionError


@settings(max_examples=100)
@given(checkpoints, visible)
def test_checkpoints_are_read_as_signed(checkpoint: Checkpoint, name: str) -> None:
    """Signing and verifying are inverse, for every origin and name."""
    note = sign_checkpoint(checkpoint, name=name, signer=SIGNER)
    assert (
        verify_checkpoint(note, origin=checkpoint.origin, name=name, key=SIGNER.verify_key)
        == checkpoint
    )
    assert parse_vkey(vkey(name, SIGNER.verify_key)) == (name, SIGNER.verify_key)


@settings(max_examples=200)
@given(checkpoints, st.data())
def test_a_changed_note_is_refused(checkpoint: Checkpoint, data: st.DataObject) -> None:
    """Bytes replaced, removed or inserted anywhere."""
    note = sign_checkpoint(checkpoint, name=NAME, signer=SIGNER)
    changed = bytearray(note)
    at = data.draw(st.integers(0, len(changed)))
    changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if bytes(changed) == note:
        return
    try:
        verify_checkpoint(
            bytes(changed), origin=checkpoint.origin, name=NAME, key=SIGNER.verify_key
        )
    except AccordError:
        return
    raise AssertionError


lines = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20)


@settings(max_examples=150)
@given(st.lists(lines, max_size=6))
def test_signed_text_is_a_checkpoint_in_one_spelling_only(parts: list[str]) -> None:
    """Whatever text the key signed: what is read from it has exactly that text."""
    text = "\n".join(parts) + "\n"
    note = sign_note(text, name=NAME, signer=SIGNER)
    try:
        found = verify_checkpoint(
            note, origin=parts[0] if parts else "", name=NAME, key=SIGNER.verify_key
        )
    except AccordError:
        return
    assert found.to_text() == text
