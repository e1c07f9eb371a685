# SPDX-License-Identifier: Apache-2.0
"""A log takes what comes next, and shows what was done to it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from accord.encoding import Envelope, EnvelopeSignature, canonical_json, parse_json, sha256
from accord.errors import (
    AccordError,
    ConsistencyError,
    EntryOrderError,
    EntryTimeError,
    LogSizeError,
    MalformedError,
    NotCanonicalError,
    TileMissingError,
    TooLargeError,
    UnsupportedFormatError,
)
from accord.ledger import (
    MAX_ENTRY_BYTES,
    Checkpoint,
    Entry,
    Ledger,
    LogHead,
    leaf,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
ORIGIN = "trust.example/boards/b1"


def envelope(payload: bytes = b"{}") -> Envelope:
    return Envelope("application/json", payload, (EnvelopeSignature(sha256(b"key"), bytes(64)),))


def entry(index: int, *, seconds: int | None = None, payload: bytes = b"{}") -> Entry:
    moment = START + timedelta(seconds=index if seconds is None else seconds)
    return Entry(index, moment, envelope(payload))


def log(size: int, payload: Callable[[int], bytes] = lambda index: b"%d" % index) -> Ledger:
    ledger = Ledger()
    for index in range(size):
        ledger.append(entry(index, payload=payload(index)))
    return ledger


def test_an_entry_has_the_bytes_of_its_format() -> None:
    """The bytes that are hashed, written out."""
    expected = (
        b'{"envelope":{"payload":"e30=","payloadType":"application/json","signatures":[{"keyid":'
        b'"sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683","sig":"'
        + b"A" * 86
        + b'=="}]},"index":3,"schema":"accord.entry.v1","time":"2026-01-31T12:00:03Z"}'
    )
    assert entry(3).to_bytes() == expected
    assert Entry.from_bytes(expected) == entry(3)


ILL_FORMED = {
    "unknown field": ({"more": 1}, MalformedError),
    "negative index": ({"index": -1}, MalformedError),
    "index beyond integers": ({"index": 2**53}, MalformedError),
    "index as text": ({"index": "1"}, MalformedError),
    "index as flag": ({"index": True}, MalformedError),
    "another schema": ({"schema": "accord.entry.v2"}, UnsupportedFormatError),
    "time without zone": ({"time": "2026-01-31T12:00:00"}, MalformedError),
    "time with fraction": ({"time": "2026-01-31T12:00:00.5Z"}, MalformedError),
    "year with two spellings": ({"time": "0001-01-01T00:00:00Z"}, MalformedError),
    "envelope missing": ({"envelope": None}, MalformedError),
}


@pytest.mark.parametrize(("fields", "error"), ILL_FORMED.values(), ids=ILL_FORMED.keys())
def test_an_ill_formed_entry_is_refused(
    fields: dict[str, object], error: type[AccordError]
) -> None:
    """Each field is checked, and there are no others."""
    value = {**parse_json(entry(1).to_bytes(), what="entry"), **fields}
    text = canonical_json({key: item for key, item in value.items() if abs_ok(item)})
    if fields.get("index") == 2**53:
        text = text.replace(b'"schema"', b'"index":9007199254740992,"schema"')
    with pytest.raises(error):
        Entry.from_bytes(text)


def abs_ok(item: object) -> bool:
    """Whether canonical JSON can carry it."""
    return not (isinstance(item, int) and item >= 2**53)


@pytest.mark.parametrize("field", ["schema", "index", "time", "envelope"])
def test_an_entry_without_a_field_is_refused(field: str) -> None:
    """Nothing has a default."""
    value = parse_json(entry(1).to_bytes(), what="entry")
    del value[field]
    with pytest.raises(MalformedError):
        Entry.from_bytes(canonical_json(value))


def test_a_second_spelling_of_an_entry_is_refused() -> None:
    """White space and order of keys are fixed, or two logs could say the same."""
    data = entry(1).to_bytes()
    for second in (data + b"\n", b" " + data, data.replace(b'":', b'": ')):
        with pytest.raises(NotCanonicalError):
            Entry.from_bytes(second)
    with pytest.raises(MalformedError):
        Entry.from_bytes(data.replace(b"e30=", b"e31="))


@pytest.mark.parametrize(
    ("index", "moment"),
    [
        (-1, START),
        (0, START.replace(tzinfo=None)),
        (0, START.astimezone(timezone(timedelta(hours=1)))),
        (0, START.replace(microsecond=1)),
    ],
)
def test_an_entry_in_another_time_is_a_bug(index: int, moment: datetime) -> None:
    """The caller gives UTC in whole seconds."""
    with pytest.raises(RuntimeError):
        Entry(index, moment, envelope())


def test_a_log_is_what_was_appended() -> None:
    """Size, entries and root after each append; and the same when read from bytes."""
    ledger = log(5)
    again = Ledger.from_entries(ledger.entries())
    assert ledger.size == again.size == 5
    assert ledger.root() == again.root()
    assert [ledger.entry(index) for index in range(5)] == [
        entry(index, payload=b"%d" % index) for index in range(5)
    ]
    assert ledger.entry_bytes(4) == entry(4, payload=b"4").to_bytes()
    assert ledger.checkpoint(ORIGIN) == Checkpoint(ORIGIN, 5, ledger.root())


def test_time_may_stand_still() -> None:
    """Several entries in one second are in order."""
    ledger = Ledger()
    for index in range(3):
        ledger.append(entry(index, seconds=7))
    assert ledger.size == 3


def test_time_does_not_go_back() -> None:
    """An entry dated before its predecessor is refused, and nothing changes."""
    ledger = log(2)
    root = ledger.root()
    with pytest.raises(EntryTimeError):
        ledger.append(entry(2, seconds=0))
    assert (ledger.size, ledger.root()) == (2, root)


@pytest.mark.parametrize("index", [0, 1, 3])
def test_only_the_next_index_is_taken(index: int) -> None:
    """Repeated and skipped places are refused, and nothing changes."""
    ledger = log(2)
    root = ledger.root()
    with pytest.raises(EntryOrderError):
        ledger.append(entry(index, seconds=9))
    assert (ledger.size, ledger.root()) == (2, root)


def test_an_entry_that_could_not_be_read_back_is_refused() -> None:
    """One such entry would make the log unreadable for good."""
    ledger = Ledger()
    for payload, error in (
        (bytes((1 << 20) + 9), MalformedError),
        (bytes(MAX_ENTRY_BYTES), TooLargeError),
    ):
        with pytest.raises(error):
            ledger.append(entry(0, payload=payload))
    twice = envelope()
    with pytest.raises(MalformedError):
        ledger.append(Entry(0, START, Envelope("x", b"", twice.signatures * 2)))
    assert ledger.size == 0


def test_encoding_the_next_entry_changes_nothing() -> None:
    """A writer stores first and appends then; a failed store leaves no trace."""
    ledger = log(2)
    data = ledger.encode_next(entry(2))
    assert (data, ledger.size) == (entry(2).to_bytes(), 2)
    with pytest.raises(EntryOrderError):
        ledger.encode_next(entry(3))


TAMPERINGS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "removed": lambda all_: all_[:2] + all_[3:],
    "first removed": lambda all_: all_[1:],
    "exchanged": lambda all_: [all_[0], all_[2], all_[1], *all_[3:]],
    "repeated": lambda all_: [*all_[:3], all_[2], *all_[3:]],
    "inserted": lambda all_: [*all_[:3], entry(3, payload=b"new").to_bytes(), *all_[3:]],
    "appended twice": lambda all_: [*all_, all_[-1]],
}


@pytest.mark.parametrize("tamper", TAMPERINGS.values(), ids=TAMPERINGS.keys())
def test_entries_out_of_place_are_refused(tamper: Callable[[list[bytes]], list[bytes]]) -> None:
    """A log with entries removed, moved, repeated or inserted is not even read."""
    with pytest.raises(EntryOrderError):
        Ledger.from_entries(tamper(list(log(5).entries())))


def test_a_truncated_log_does_not_match_its_checkpoint() -> None:
    """Entries cut off the end leave a sound log, and a checkpoint that covers more."""
    checkpoint = log(5).checkpoint(ORIGIN)
    for size in range(5):
        for check in (log(size).verify_complete, log(size).verify_extends):
            with pytest.raises(LogSizeError):
                check(checkpoint)


def test_an_extended_log_is_not_the_complete_one() -> None:
    """More entries than the checkpoint covers: a continuation, and not the same log."""
    checkpoint = log(3).checkpoint(ORIGIN)
    log(5).verify_extends(checkpoint)
    log(3).verify_complete(checkpoint)
    with pytest.raises(LogSizeError):
        log(5).verify_complete(checkpoint)


@pytest.mark.parametrize("changed", range(5))
def test_a_forked_log_does_not_match_a_checkpoint(changed: int) -> None:
    """One other entry, anywhere under the checkpoint, is found."""
    checkpoint = log(5).checkpoint(ORIGIN)
    fork = log(7, lambda index: b"fork" if index == changed else b"%d" % index)
    with pytest.raises(ConsistencyError):
        fork.verify_extends(checkpoint)


def test_every_flipped_bit_of_an_entry_is_found() -> None:
    """A changed entry is not read, or is not the one that the checkpoint covers."""
    ledger = log(3)
    checkpoint, entries = ledger.checkpoint(ORIGIN), list(ledger.entries())
    for position in range(8 * len(entries[1])):
        changed = bytearray(entries[1])
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(AccordError):
            Ledger.from_entries([entries[0], bytes(changed), entries[2]]).verify_complete(
                checkpoint
            )


def test_a_log_gives_proofs() -> None:
    """The proofs of a log verify against its checkpoints."""
    ledger = log(7)
    verify_inclusion(
        leaf_hash(leaf(ledger.entry_bytes(2))),
        index=2,
        size=5,
        root=ledger.root(5),
        proof=ledger.inclusion_proof(2, 5),
    )
    verify_consistency(
        old_size=3,
        old_root=ledger.root(3),
        new_size=7,
        new_root=ledger.root(),
        proof=ledger.consistency_proof(3),
    )


def test_an_entry_that_is_not_there_is_a_bug() -> None:
    """Asking for it is a mistake of the program, and negative indexes are no shorthand."""
    for index in (-1, 2):
        with pytest.raises(RuntimeError):
            log(2).entry(index)


def test_a_head_knows_the_tree_without_the_entries() -> None:
    """Size, time and roots are those of the log; its entries are not in memory."""
    ledger, head = log(5), LogHead()
    tracemalloc.start()
    for index in range(200):
        head.extend(entry(index, payload=b"%d" % index + bytes(10_000)).to_bytes())
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    small = LogHead()
    for data in ledger.entries():
        small.extend(data)

    assert kept < 200_000
    assert (small.size, small.last_time, small.root()) == (5, ledger.last_time, ledger.root())
    assert small.checkpoint(ORIGIN, 3) == log(3).checkpoint(ORIGIN)
    assert small.checkpoint(ORIGIN) == ledger.checkpoint(ORIGIN)


def test_a_log_that_was_checked_before_is_only_hashed_again() -> None:
    """The root is the same, and the next entry is checked as ever."""
    ledger, head = log(4), LogHead()
    for data in list(ledger.entries())[:3]:
        head.rehash(data)
    assert (head.root(), head.last_time) == (ledger.root(3), None)
    head.extend(ledger.entry_bytes(3))
    assert (head.root(), head.last_time) == (ledger.root(), ledger.last_time)
    with pytest.raises(EntryTimeError):
        head.append(entry(4, seconds=0))


def test_an_encoded_entry_is_accepted_in_its_place_only() -> None:
    """Another entry that came in between is noticed."""
    ledger, next_entry = log(2), entry(2)
    data = ledger.encode_next(next_entry)
    ledger.accept(next_entry, data)
    assert (ledger.size, ledger.entry_bytes(2)) == (3, data)
    with pytest.raises(EntryOrderError):
        ledger.accept(next_entry, data)


def test_a_log_serves_the_hashes_of_its_leaves() -> None:
    """One by one, and as a tile."""
    ledger = log(3)
    expected = [leaf_hash(leaf(data)) for data in ledger.entries()]
    assert [ledger.leaf_hash(index) for index in range(3)] == expected
    assert ledger.tile(0, 0, 3) == b"".join(expected)
    for index in (-1, 3):
        with pytest.raises(TileMissingError):
            ledger.leaf_hash(index)
