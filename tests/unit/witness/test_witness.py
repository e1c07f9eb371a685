# SPDX-License-Identifier: Apache-2.0
"""What a witness cosigns, refuses and remembers, without a network."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.witnessing import TIME, SomeLog, make_witness, signer_of

from accord.errors import (
    AccordError,
    CheckpointNotSignedError,
    IdentityExposedError,
    LogConflictError,
    LogNotWitnessedError,
    MalformedError,
    NotContinuedError,
    NoWitnessError,
    SplitViewError,
    WitnessConflictError,
    WitnessedSizeError,
    WitnessRequestError,
    WitnessStateError,
)
from accord.identity import VerifyKey
from accord.ledger import AddCheckpoint, add_signatures, cosignatures, open_note, sign_note
from accord.witness import STATE_FILE, Head, WatchedLog, Witness, WitnessKey, WitnessStore


@pytest.fixture
def log() -> SomeLog:
    """A log of ten entries."""
    return SomeLog().grow(10)


@pytest.fixture
def witness(tmp_path: Path, log: SomeLog) -> Iterator[Witness]:
    """A witness of that log."""
    made = make_witness(tmp_path / "w", log.watched)
    yield made
    made.store.close()


def verify_key(witness: Witness) -> VerifyKey:
    """The key of a witness, from its folder."""
    return WitnessKey.load(witness.store.path.parent).signer.verify_key


def test_a_growing_log_is_cosigned(witness: Witness, log: SomeLog) -> None:
    """Each checkpoint that continues the last one gets a dated signature, and is remembered."""
    for old, size in ((0, 3), (3, 8), (8, 10)):
        line = witness.add_checkpoint(log.request(old, size))
        note = add_signatures(log.note(size), [line])
        assert dict(cosignatures(note, {"north": verify_key(witness)})) == {"north": TIME}
        kept = witness.store.log(log.origin)
        assert (size, log.tree.root(size), note, TIME) == (
            kept.size,
            kept.root,
            kept.note,
            kept.time,
        )


def test_the_same_tree_is_cosigned_again(witness: Witness, log: SomeLog) -> None:
    """A log that lost the answer asks again from the size that it has."""
    first = witness.add_checkpoint(log.request(0))
    assert first == witness.add_checkpoint(log.request(10))


def test_an_empty_log_is_cosigned(tmp_path: Path) -> None:
    """A tree without leaves has one root."""
    log = SomeLog()
    witness = make_witness(tmp_path / "w", log.watched)
    witness.add_checkpoint(log.request(0))
    witness.add_checkpoint(log.grow().request(0))
    assert witness.store.log(log.origin).size == 1
    witness.store.close()


@pytest.mark.parametrize("old", [0, 2, 4])
def test_another_old_size_is_told_the_latest(witness: Witness, log: SomeLog, old: int) -> None:
    """Only the size that was cosigned last can be continued."""
    witness.add_checkpoint(log.request(0, 3))
    with pytest.raises(WitnessedSizeError) as caught:
        witness.add_checkpoint(log.request(old))
    assert caught.value.details["size"] == 3


def test_a_log_that_was_rolled_back_is_refused(witness: Witness, log: SomeLog) -> None:
    """A smaller tree is never cosigned, whatever old size it comes with."""
    witness.add_checkpoint(log.request(0))
    with pytest.raises(WitnessedSizeError):
        witness.add_checkpoint(log.request(3, 5))
    with pytest.raises(WitnessRequestError):
        witness.add_checkpoint(AddCheckpoint(10, (), log.note(5)).to_bytes())
    assert witness.store.log(log.origin).size == 10


def test_another_history_is_refused(witness: Witness, log: SomeLog) -> None:
    """A longer tree with other leaves has no proof."""
    witness.add_checkpoint(log.request(0))
    other = SomeLog(branch="other ").grow(12)
    with pytest.raises(NotContinuedError):
        witness.add_checkpoint(other.request(10))
    with pytest.raises(NotContinuedError):
        witness.add_checkpoint(AddCheckpoint(10, (), other.note()).to_bytes())
    assert witness.store.log(log.origin).root == log.tree.root()


@pytest.mark.parametrize("old", [0, 10])
def test_a_split_view_is_kept_as_proof(witness: Witness, log: SomeLog, old: int) -> None:
    """Two signed trees of one size: the first contradiction is kept, whatever the old size."""
    witness.add_checkpoint(log.request(0))
    for branch in ("other ", "third "):
        with pytest.raises(SplitViewError):
            witness.add_checkpoint(SomeLog(branch=branch).grow(10).request(old))
    kept = witness.store.log(log.origin)
    key = log.signer.verify_key
    open_note(kept.other, name=log.name, key=key, what="checkpoint")
    assert (SomeLog(branch="other ").grow(10).tree.root(), log.tree.root()) == (
        Head.claimed(kept.other).root,
        kept.root,
    )


def test_nothing_is_kept_of_what_the_log_did_not_sign(witness: Witness, log: SomeLog) -> None:
    """Somebody else's tree is no contradiction."""
    witness.add_checkpoint(log.request(0))
    other = SomeLog(branch="other ").grow(10)
    forged = AddCheckpoint(10, (), other.note(signer=signer_of("thief"))).to_bytes()
    with pytest.raises(CheckpointNotSignedError):
        witness.add_checkpoint(forged)
    assert witness.store.log(log.origin).other == b""


def test_an_unknown_log_is_refused(witness: Witness) -> None:
    """A witness cosigns the logs that it was given."""
    with pytest.raises(LogNotWitnessedError):
        witness.add_checkpoint(SomeLog("log.example/else").grow().request(0))


def test_other_signatures_are_ignored_and_not_kept(witness: Witness, log: SomeLog) -> None:
    """A line that anybody could have added is not served on under the witness's signature."""
    junk = "\N{EM DASH} log.example AAAA\n\N{EM DASH} somebody AAAAAAAA\n".encode()
    note = log.note().replace(b"\n\n", b"\n\n" + junk, 1)
    line = witness.add_checkpoint(AddCheckpoint(0, (), note).to_bytes())
    assert add_signatures(log.note(), [line]) == witness.store.log(log.origin).note


def test_extension_lines_are_signed_along(witness: Witness, log: SomeLog) -> None:
    """Other people's checkpoints may say more than three lines."""
    text = log.note().decode().partition("\n\n")[0] + "\nan extension line\n"
    note = sign_note(text, name=log.name, signer=log.signer)
    line = witness.add_checkpoint(AddCheckpoint(0, (), note).to_bytes())
    assert dict(cosignatures(add_signatures(note, [line]), {"north": verify_key(witness)})) == {
        "north": TIME
    }


def test_an_origin_may_hold_spaces(tmp_path: Path) -> None:
    """Go's checksum database is called `go.sum database tree`."""
    log = SomeLog("go.sum database tree", "sum.golang.org").grow(2)
    witness = make_witness(tmp_path / "w", log.watched)
    witness.add_checkpoint(log.request(0))
    assert witness.store.log(log.origin).size == 2
    witness.store.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n\n",
        b"old -1\n\nx\n0\nAA==\n\n",
        b"old 0\n\n\xff\n0\nAA==\n\nx",
        b"old 0\n\nlog.example/numbers\n1\n\n",
        b"old 0\n\nlog.example/numbers\n01\nAA==\n\nx\n",
        b"old 0\n\nlog.example/numbers\n9999999999999999999\nAA==\n\nx\n",
        b"old 0\n\nlog.example/numbers\n1\n!\n\nx\n",
        b"old 0\n\nlog.example/numbers\n1\nAA==\n\nx\n",
        b"old 0\n\nlog.example/numbers\n0\n" + b"A" * 43 + b"=\n\nx\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(witness: Witness, body: bytes) -> None:
    """Every malformed request is one and the same error."""
    with pytest.raises(WitnessRequestError):
        witness.add_checkpoint(body)


def test_a_log_that_was_renamed_is_not_cosigned_under_its_old_name(
    witness: Witness, log: SomeLog
) -> None:
    """Whoever is set back to before a fork was resolved finds no witness, also after a restart."""
    witness.add_checkpoint(log.request(0, 8))
    before = witness.store.log(log.origin)
    following = replace(log.watched, origin=f"{log.origin}/g1")

    assert witness.store.follow(following, before) == following
    with pytest.raises(NotContinuedError):
        witness.add_checkpoint(log.request(8, 10))
    again = WitnessStore(witness.store.path.parent)
    assert again.log(log.origin).retired
    assert not again.log(following.origin).retired
    again.close()


def test_a_log_goes_on_only_from_where_it_was_judged(witness: Witness, log: SomeLog) -> None:
    """What was cosigned between the judgement and the change is not forgotten."""
    before = witness.store.log(log.origin)
    witness.add_checkpoint(log.request(0, 8))
    following = replace(log.watched, origin=f"{log.origin}/g1")

    with pytest.raises(WitnessedSizeError):
        witness.store.follow(following, before)
    assert not witness.store.log(log.origin).retired
    with pytest.raises(LogNotWitnessedError):
        witness.store.log(following.origin)


def test_a_log_that_is_added_by_hand_retires_its_earlier_name(
    witness: Witness, log: SomeLog
) -> None:
    """As one that a replaying witness follows."""
    witness.store.add(replace(log.watched, origin=f"{log.origin}/g1"))
    with pytest.raises(NotContinuedError):
        witness.add_checkpoint(log.request(0, 8))


def test_logs_are_added_once(witness: Witness, log: SomeLog) -> None:
    """Again it changes nothing; with another key it is refused, and the tree stays."""
    witness.add_checkpoint(log.request(0))
    assert witness.store.add(log.watched).size == 10
    other = WatchedLog(log.origin, log.name, signer_of("thief").verify_key)
    with pytest.raises(LogConflictError):
        witness.store.add(other)
    assert [log.origin] == [item.origin for item in witness.store.logs()]


def test_what_was_cosigned_survives_a_restart(tmp_path: Path, log: SomeLog) -> None:
    """The store opened again holds the same."""
    first = make_witness(tmp_path / "w", log.watched)
    first.add_checkpoint(log.request(0, 5))
    before = first.store.logs()
    first.store.close()
    again = make_witness(tmp_path / "w")
    assert before == again.store.logs()
    with pytest.raises(WitnessedSizeError):
        again.add_checkpoint(log.request(0))
    again.store.close()


def test_two_processes_on_one_folder_are_one_witness(tmp_path: Path, log: SomeLog) -> None:
    """What one cosigned, the other knows: the size is compared and written in one transaction."""
    one, two = make_witness(tmp_path / "w", log.watched), make_witness(tmp_path / "w")
    one.add_checkpoint(log.request(0, 5))
    with pytest.raises(WitnessedSizeError):
        two.add_checkpoint(SomeLog(branch="other ").grow(5).request(0, 4))
    one.store.close()
    two.store.close()


def test_after_a_failed_write_nothing_is_cosigned(witness: Witness, log: SomeLog) -> None:
    """What reached the disk is unknown then, so no answer is given at all."""

    class Failing:
        """A connection whose commits fail, as on a full disk."""

        def __init__(self, db: sqlite3.Connection) -> None:
            self._db = db

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if statement == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return self._db.execute(statement, *values)

        def __getattr__(self, name: str) -> object:
            return getattr(self._db, name)

    whole = witness.store._db
    witness.store._db = Failing(whole)  # type: ignore[assignment]
    with pytest.raises(WitnessStateError, match="disk is full"):
        witness.add_checkpoint(log.request(0))
    witness.store._db = whole
    with pytest.raises(WitnessStateError, match="an earlier write failed"):
        witness.add_checkpoint(log.request(0))


@pytest.mark.parametrize("content", [b"no database, but longer than nothing", b"\0" * 4096])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    """A witness that may have forgotten cosigns nothing."""
    (tmp_path / STATE_FILE).write_bytes(content)
    with pytest.raises(WitnessStateError):
        WitnessStore(tmp_path)


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    """What a later release wrote is not guessed at."""
    WitnessStore(tmp_path).close()
    with sqlite3.connect(tmp_path / STATE_FILE) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(WitnessStateError, match="version 9"):
        WitnessStore(tmp_path)


def test_the_files_are_the_owners_alone(tmp_path: Path, log: SomeLog) -> None:
    """Key and state can be read by nobody else; the public file by everybody."""
    witness = make_witness(tmp_path / "w", log.watched)
    witness.add_checkpoint(log.request(0))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "w").iterdir()}
    assert modes.pop("witness.json") == 0o644
    assert set(modes.values()) == {0o600}
    witness.store.close()
    (tmp_path / "w" / "witness.secret.json").chmod(0o640)
    with pytest.raises(IdentityExposedError):
        WitnessKey.load(tmp_path / "w")


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    """The same name gets the key that is there; another name, or no name, is refused."""
    key = WitnessKey.create(tmp_path, "north").signer.verify_key
    assert key == WitnessKey.create(tmp_path, "north").signer.verify_key
    with pytest.raises(WitnessConflictError):
        WitnessKey.create(tmp_path, "south")
    with pytest.raises(MalformedError):
        WitnessKey.create(tmp_path / "other", "No Name")
    with pytest.raises(NoWitnessError):
        WitnessKey.load(tmp_path / "other")
    assert "sign" not in repr(WitnessKey.load(tmp_path))


def test_only_our_errors_leave_a_witness(witness: Witness, log: SomeLog) -> None:
    """Every byte of a request, changed, is refused or changes nothing."""
    body = log.request(0, 7)
    for at in range(len(body)):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises(AccordError):
            witness.add_checkpoint(changed)
    assert witness.store.log(log.origin).size == 0
