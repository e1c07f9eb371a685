# SPDX-License-Identifier: Apache-2.0
"""What an owner erased is nowhere any more, and the log still holds for everybody."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.backups import root_of, secrets_in, shares_of
from tests.support.live import Hardware
from tests.support.moving import log_of
from tests.support.postgres import Postgres, running_postgres
from tests.support.recovering import NAMES, Planned

from accord.board import AssetWithdrawal
from accord.bundle import named_evidence, object_name, verify_log
from accord.client import withdraw_asset
from accord.encoding import Envelope
from accord.errors import AccordError, SecretValueError
from accord.identity import sign_statement, statement_kind
from accord.ledger import Entry, Ledger
from accord.release import Machine
from accord.service._postgres import open_postgres
from accord.service._secret_names import deposit_name
from accord.service._sqlite_store import SQLiteStore

KEY = bytes(range(32))
VALUE = os.urandom(6_000).hex().encode()
"""Long, so that a database spreads it over several pages."""

PIECE = 48


def pieces(sealed: bytes) -> set[bytes]:
    """Parts of a record by which it is found again, wherever a page ends."""
    return {sealed[at : at + PIECE] for at in range(0, len(sealed) - PIECE, 1024)}


def found(folder: Path, wanted: set[bytes]) -> set[str]:
    """The files below ``folder`` that hold any of them."""
    names = set()
    for path in folder.rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:  # A server removes files while they are listed.
            continue
        if any(item in data for item in wanted):
            names.add(path.name)
    return names


def prepared(root: Path, store: Any) -> Planned:
    """A board whose job gets ann's deposited value; it was released once."""
    board = Planned(Hardware.create(root / "hardware"), root / "homes", store=store)
    board.deposit("token", VALUE, max_uses=9)
    policy = board.policy(
        secrets={"token": {"kind": "asset", "asset": "ann/token"}},
        train={"environment": {"TOKEN": "{{ accord.token }}"}},
    )
    board.enact(policy, by=NAMES)
    board.release()
    return board


def erase(board: Planned, name: str = "ann") -> int:
    """The owner's command, as `accord secret withdraw --erase` sends it."""
    with board.over_http() as url:
        home = board.member(name, url)
        with home.connect() as session:
            _, machine, _ = home.read(session)
            return withdraw_asset(home, session, machine, "token", erase=True)


def withdrawal(board: Planned, asset: str) -> Envelope:
    """Ann's statement that erases her asset."""
    latest = board.host.machine.board.assets[asset].latest
    body = AssetWithdrawal(board.board, asset, latest, erase=True)
    return sign_statement("asset-withdrawal", body.to_json(), [board.identity("ann").signer])


def verify_everything(board: Planned) -> None:
    """Members, witnesses that replay, and readers of bundles: the log holds."""
    entries = asyncio.run(board.host.entries(0, board.host.durable_size))
    ledger, machine = Machine.replay(entries)
    assert ledger.root() == board.host.head.root()
    assert machine.board.assets["ann/token"].withdrawn
    objects = {}
    for digest in named_evidence(entries):
        body = board.store.object(board.board, digest)
        assert body is not None
        objects[object_name(digest)] = body
    log = verify_log(entries, note=board.host.checkpoint(), objects=objects, genesis=board.board)
    assert len(log.runs) == 1
    assert Ledger.from_entries(entries).size == log.size


def offers(board: Planned) -> list[str]:
    return [deposit_name(item) for item in board.host.machine.board.assets["ann/token"].deposits]


def sealed_in_sqlite(store: SQLiteStore, board: str, name: str) -> bytes:
    mask = store._seal.mask("secret", board, name)
    [[sealed]] = store._file.query("SELECT sealed FROM secret WHERE name = ?", mask)
    assert isinstance(sealed, bytes)
    return sealed


def test_what_was_erased_is_in_no_file_of_sqlite(tmp_path: Path) -> None:
    """Neither the value nor its ciphertext, in the database or its write-ahead log."""
    folder = tmp_path / "store"
    folder.mkdir()
    store = SQLiteStore(folder / "store.db", KEY)
    board = prepared(tmp_path, store)
    [name] = offers(board)
    wanted = pieces(sealed_in_sqlite(store, board.board, name))
    assert found(folder, wanted)
    erase(board)
    assert found(folder, wanted | pieces(VALUE)) == set()
    assert store.secret(board.board, name) == b""
    verify_everything(board)
    store.close()
    again = SQLiteStore(folder / "store.db", KEY)
    assert again.size(board.board) == board.host.durable_size
    again.close()


@pytest.fixture
def postgres_alone() -> Iterator[Postgres]:
    """A server of its own, which removes old parts of its log instead of using them again."""
    with running_postgres() as server:
        with psycopg.connect(server.dsn(), autocommit=True) as db:
            db.execute("ALTER SYSTEM SET wal_recycle = off")
            db.execute("SELECT pg_reload_conf()")
        yield server


def test_what_was_erased_is_in_no_file_of_postgres(
    tmp_path: Path, postgres_alone: Postgres
) -> None:
    """Not in the table at once, and not in the server's own log once it has moved on."""
    dsn = postgres_alone.database()
    with closing(open_postgres(dsn, KEY)) as store:
        check_postgres(prepared(tmp_path, store), dsn, postgres_alone.data)


def check_postgres(board: Planned, dsn: str, data: Path) -> None:
    """Erases, and looks for what was erased below ``data``."""
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute("CHECKPOINT")
        rows = db.execute("SELECT sealed FROM accord.secret ORDER BY length(sealed) DESC")
        sealed = rows.fetchall()[0][0]
        wanted = pieces(sealed)
        assert len(sealed) > len(VALUE)
        assert found(data, wanted)
        erase(board)
        for _ in range(3):
            db.execute("SELECT pg_switch_wal()")
            db.execute("CHECKPOINT")
    assert found(data, wanted | pieces(VALUE)) == set()
    verify_everything(board)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Planned]:
    with closing(SQLiteStore(tmp_path / "store.db", KEY)) as store:
        yield prepared(tmp_path, store)


def test_nothing_of_it_is_released_any_more(board: Planned) -> None:
    """Not from what the service had in memory either."""
    erase(board)
    with pytest.raises(AccordError, match="withdrawn"):
        board.release()
    names = {name for _, name in board.service._parts._recent}
    assert not names & {*offers(board)}


def test_nobody_else_erases(board: Planned) -> None:
    """Bob names ann's asset: refused, and nothing is gone."""
    [name] = offers(board)
    latest = board.host.machine.board.assets["ann/token"].latest
    forged = AssetWithdrawal(board.board, "ann/token", latest, erase=True)
    for signer in ("bob", "cid"):
        envelope = sign_statement(
            "asset-withdrawal", forged.to_json(), [board.identity(signer).signer]
        )
        with pytest.raises(AccordError):
            board.submit(envelope)
    assert board.store.secret(board.board, name)
    board.release()


def test_erasing_again_is_no_error(board: Planned) -> None:
    """Whoever got no answer says it once more, and the disk is scrubbed once more."""
    first = erase(board)
    assert erase(board) > first
    verify_everything(board)


def test_a_statement_that_is_repeated_scrubs_nothing(
    board: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scrubbing locks a database that all boards share; repeating costs a reader nothing."""
    scrubbed: list[object] = []
    scrub = board.store.scrub
    monkeypatch.setattr(board.store, "scrub", lambda: scrubbed.append(scrub()))
    erase(board)
    log = [Entry.from_bytes(data).envelope for data in log_of(board.service, board.board)]
    [envelope] = [item for item in log if statement_kind(item) == "asset-withdrawal"]
    for _ in range(3):
        board.submit(envelope)
    assert scrubbed == [None]


def test_an_erasure_that_was_broken_off_is_scrubbed_when_it_is_repeated(
    board: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is durable, and its sender hung up before the disk was scrubbed: he says it again."""
    scrubbed: list[object] = []
    scrub, settled = board.store.scrub, board.host.settled
    monkeypatch.setattr(board.store, "scrub", lambda: scrubbed.append(scrub()))
    board.deposit("other", b"erased first")
    board.submit(withdrawal(board, "ann/other"))
    assert len(scrubbed) == 1

    async def broken_off() -> None:
        await settled()
        raise asyncio.CancelledError

    monkeypatch.setattr(board.host, "settled", broken_off)
    envelope = withdrawal(board, "ann/token")
    with pytest.raises(asyncio.CancelledError):
        board.submit(envelope)
    assert len(scrubbed) == 1
    monkeypatch.setattr(board.host, "settled", settled)
    board.submit(envelope)
    assert len(scrubbed) == 2


def test_a_release_that_has_begun_gets_no_erased_value(board: Planned) -> None:
    """It was decided before, and reads the value after: what is left of it is no value."""
    [name] = offers(board)
    parts = board.service._parts
    assert asyncio.run(parts.secret(board.board, name))
    erase(board)
    assert board.store.secret(board.board, name) == b""
    assert asyncio.run(parts.secret(board.board, name)) is None
    with pytest.raises(SecretValueError, match="not there"):
        asyncio.run(parts.value(board.board, name, name="token"))


def test_what_is_offered_afterwards_stays(board: Planned) -> None:
    """Only the offers before it were meant."""
    erase(board)
    record = board.host.machine.board.assets["ann/token"]
    assert record.deposits == ()
    board.deposit("other", b"kept")
    names = [deposit_name(item) for item in board.host.machine.board.assets["ann/other"].deposits]
    assert all(board.store.secret(board.board, name) for name in names)


def test_a_withdrawal_alone_erases_nothing(board: Planned) -> None:
    """The owner may offer it again, and policies that are in force stay as they are."""
    [name] = offers(board)
    with board.over_http() as url:
        home = board.member("ann", url)
        with home.connect() as session:
            _, machine, _ = home.read(session)
            withdraw_asset(home, session, machine, "token")
    assert board.store.secret(board.board, name)


def test_later_backups_hold_nothing_of_it(board: Planned, tmp_path: Path) -> None:
    """Earlier ones do: whoever keeps them, and enough members, can bring it back."""
    [name] = offers(board)
    shares = shares_of(board)
    root = root_of(board, shares, "ann", "bob")
    before = board.back_up(tmp_path / "before.backup")
    erase(board)
    after = board.back_up(tmp_path / "after.backup")
    assert name in secrets_in(board, before, root)
    assert name not in secrets_in(board, after, root)


def test_a_restart_knows_what_was_erased(board: Planned) -> None:
    """From the log, and from the saved state as well."""
    erase(board)
    board.service.close()
    board.restart()
    assert board.host.machine.board.assets["ann/token"].deposits == ()
    verify_everything(board)
