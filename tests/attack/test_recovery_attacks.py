# SPDX-License-Identifier: Apache-2.0
"""Who tries to bring a board back without its members, or from the wrong past."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.live import reference, running_app
from tests.support.recovering import (
    NAMES,
    VALUE,
    Elsewhere,
    Planned,
    go_on,
    introduce,
    prepared,
    recovered,
)
from tests.support.witness import FakeWitness, Seen, four_witnesses
from tests.support.witnessed import copied

from accord.board import RemoveMember, ReplaceService, RotateKeys
from accord.channel import TLSIdentity
from accord.client import (
    BackupHeader,
    TrustSession,
    give_share,
    open_board,
    own_share,
    recovery_offer,
    reseal_context,
    see_recovery,
    verify_backup,
)
from accord.encoding import Fields, base64_encode, sha256
from accord.errors import (
    AccordError,
    BackupDamagedError,
    BootChangedError,
    FileAccessError,
    LogForkError,
    LogKeyNeededError,
    NotCosignedError,
    RecoveryBehindError,
    RequestRefusedError,
    ServiceDismissedError,
    ShareInvalidError,
    SharesMissingError,
    SignatureInvalidError,
    UnknownBoardError,
)
from accord.evidence import Role
from accord.identity import KeySigner, seal, sign_statement
from accord.policy import AttestationVariant
from accord.release import RESEALED_PURPOSE, Machine, RecoveryShare, log_origin
from accord.service import TrustService, create_app
from accord.service._backup import BackupReader, write_backup
from accord.testing import SimulatedTDX


@pytest.fixture
def board(tmp_path: Path) -> Planned:
    """A board that was backed up into ``restoring``."""
    planned = prepared(tmp_path)
    planned.back_up(tmp_path / "restoring" / "b.backup")
    return planned


@pytest.fixture
def elsewhere(board: Planned, tmp_path: Path) -> Elsewhere:
    return Elsewhere(board.hardware, tmp_path / "restoring")


def test_the_operator_alone_gets_nothing(board: Planned, elsewhere: Elsewhere) -> None:
    """Whoever has the backup and the machine, and no member's key, opens neither part of it."""
    with elsewhere.running() as (service, url):
        attested = TrustSession.attest(url, board.genesis)
        with attested as session, pytest.raises(LogKeyNeededError):
            open_board(session)
        with pytest.raises(LogKeyNeededError):
            service.recoveries.log(board.board)
        with pytest.raises(UnknownBoardError):
            asyncio.run(service.host(board.board))
    assert elsewhere.store.boards() == []


def test_a_key_that_is_none_opens_no_log(board: Planned, elsewhere: Elsewhere) -> None:
    """Anybody may send one; only the real one opens anything."""
    with elsewhere.running() as (_, url), TrustSession.attest(url, board.genesis) as session:
        offer = recovery_offer(session)
        context = reseal_context(board.board, offer.boot, "ann")
        sealed = seal(os.urandom(32), offer.key, purpose="backup-key", context=context)
        with pytest.raises(BackupDamagedError):
            session.ask("POST", "recovery/key", {"member": "ann", "sealed": base64_encode(sealed)})


def test_a_stranger_reads_no_log_of_a_backup(board: Planned, elsewhere: Elsewhere) -> None:
    """Also once a member opened it, only members read it."""
    stranger = KeySigner(Ed25519PrivateKey.generate())
    with elsewhere.running() as (_, url):
        home = board.member("ann", url)
        with home.connect() as session:
            see_recovery(home, session)
            with pytest.raises(RequestRefusedError):
                session.read("recovery/log", stranger)


def test_one_share_twice_is_one_share(board: Planned, elsewhere: Elsewhere) -> None:
    """The same member counts once, however often they come."""
    with elsewhere.running() as (_, url):
        home = board.member("ann", url)
        with home.connect() as session:
            give_share(home, session, see_recovery(home, session))
            offer = give_share(home, session, see_recovery(home, session))
            assert offer.given == ("ann",)
            with pytest.raises(SharesMissingError):
                open_board(session)


def test_a_member_cannot_give_another_members_share(board: Planned, elsewhere: Elsewhere) -> None:
    """Bob got hold of Ann's words: under his own name they are refused, and so named."""
    shares = board.host.machine.root_shares
    assert shares is not None
    words = own_share(board.identity("ann"), shares)
    with elsewhere.running() as (_, url):
        home = board.member("bob", url)
        with home.connect() as session:
            seen = see_recovery(home, session)
            context = reseal_context(board.board, seen.offer.boot, "bob")
            sealed = seal(words, seen.offer.key, purpose=RESEALED_PURPOSE, context=context)
            said = RecoveryShare(
                *(board.board, "bob", 1, seen.offer.boot, session.keyset.digest),
                *(seen.ledger.size, seen.ledger.root(), sha256(sealed)),
            )
            envelope = sign_statement("recovery-share", said.to_json(), [home.identity.signer])
            document = {"envelope": envelope.to_json(), "sealed": base64_encode(sealed)}
            with pytest.raises(ShareInvalidError, match="bob"):
                session.ask("POST", "recovery/shares", document)


@pytest.mark.parametrize("field", ["epoch", "boot", "keyset", "size", "root"])
def test_a_share_for_anything_else_is_refused(
    board: Planned, elsewhere: Elsewhere, field: str
) -> None:
    """Another epoch, boot, service or log: what was signed is not about this recovery."""
    other: dict[str, Any] = {
        "epoch": 2,
        "boot": os.urandom(32),
        "keyset": sha256(b"another"),
        "size": 1,
        "root": os.urandom(32),
    }
    shares = board.host.machine.root_shares
    assert shares is not None
    with elsewhere.running() as (_, url):
        home = board.member("ann", url)
        with home.connect() as session:
            seen = see_recovery(home, session)
            sealed = seal(
                own_share(home.identity, shares),
                seen.offer.key,
                purpose=RESEALED_PURPOSE,
                context=reseal_context(board.board, seen.offer.boot, "ann"),
            )
            said = RecoveryShare(
                *(board.board, "ann", 1, seen.offer.boot, session.keyset.digest),
                *(seen.ledger.size, seen.ledger.root(), sha256(sealed)),
            )
            wrong = replace(said, **{field: other[field]})
            envelope = sign_statement("recovery-share", wrong.to_json(), [home.identity.signer])
            document = {"envelope": envelope.to_json(), "sealed": base64_encode(sealed)}
            with pytest.raises(ShareInvalidError):
                session.ask("POST", "recovery/shares", document)


def test_a_share_for_one_boot_is_nothing_to_another(board: Planned, elsewhere: Elsewhere) -> None:
    """The operator starts the service again: it knows no share, and old ones do not open."""
    with elsewhere.running() as (_, url):
        home = board.member("ann", url)
        with home.connect() as session:
            looked = see_recovery(home, session)
            give_share(home, session, looked)
    with elsewhere.running() as (_, url):
        home = board.member("ann", url)
        with home.connect() as session:
            seen = see_recovery(home, session)
            assert seen.offer.given == ()
            with pytest.raises(BootChangedError):
                give_share(home, session, seen, boot=looked.offer.boot)
            with pytest.raises(ShareInvalidError):
                give_share(home, session, looked)


def test_who_was_removed_counts_for_nothing(board: Planned, tmp_path: Path) -> None:
    """Cid left: the newer backup has no key for him, and his old share is refused."""
    before = board.host.machine.root_shares
    assert before is not None
    board.amend(RemoveMember("cid"))
    folder = tmp_path / "newer"
    board.back_up(folder / "b.backup")
    with Elsewhere(board.hardware, folder).running() as (_, url):
        cid = board.member("cid", url)
        with cid.connect() as session, pytest.raises(BackupDamagedError, match="cid"):
            see_recovery(cid, session)
        ann = board.member("ann", url)
        with ann.connect() as session:
            seen = see_recovery(ann, session)
            machine = replace(seen.machine, root_shares=before)
            with pytest.raises(SignatureInvalidError):
                give_share(cid, session, replace(seen, machine=machine))


def test_shares_of_an_older_secret_open_nothing_newer(board: Planned, tmp_path: Path) -> None:
    """After a rotation the old words are not what the log speaks of."""
    before = board.host.machine.root_shares
    assert before is not None
    board.amend(RotateKeys(2))
    folder = tmp_path / "newer"
    board.back_up(folder / "b.backup")
    with Elsewhere(board.hardware, folder).running() as (_, url):
        home = board.member("ann", url)
        with home.connect() as session:
            seen = see_recovery(home, session)
            assert seen.offer.header.epoch == 2
            machine = replace(seen.machine, root_shares=replace(before, epoch=2))
            with pytest.raises(AccordError):
                give_share(home, session, replace(seen, machine=machine))


def test_a_member_who_saw_more_gives_no_share_to_an_old_backup(
    board: Planned, elsewhere: Elsewhere
) -> None:
    """The operator restores last week's state: whoever looked since refuses, and is told why."""
    board.release()
    with board.over_http() as url:
        home = board.member("ann", url)
        with home.connect() as session:
            home.read(session)
    with elsewhere.running() as (_, url):
        home = board.member("ann", url)
        with home.connect() as session, pytest.raises(RecoveryBehindError):
            see_recovery(home, session)


def test_the_old_service_cannot_write_to_the_log_that_goes_on(
    board: Planned, elsewhere: Elsewhere
) -> None:
    """Its key is no longer the log's: what it signs is refused by everybody who replays."""
    with elsewhere.running() as (service, url):
        recovered(board, url, "ann", "bob")
    host = asyncio.run(service.host(board.board))
    forged = board.service._parts.sign("enactment", {})
    with pytest.raises(SignatureInvalidError):
        host.stage(forged)


def test_a_service_that_the_charter_does_not_name_gets_nothing(
    board: Planned, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    """Members' commands refuse other code before they say anything to it."""
    from datetime import UTC, datetime

    tls = TLSIdentity.generate()
    attester: SimulatedTDX = board.hardware.attester(Role.SERVICE, mrtd=bytes(48))
    service = TrustService(
        store=elsewhere.store,
        attester=attester,
        tls_spki_sha256=tls.spki_sha256,
        clock=lambda: datetime.now(UTC),
        entropy=os.urandom,
        restoring=elsewhere.folder,
    )
    with running_app(create_app(service), tls) as url:
        home = board.member("ann", url)
        with pytest.raises(AccordError) as refused:
            home.connect()
    assert refused.value.code.startswith("accord-ATT")
    assert not recovery_open(service, board)


def test_a_member_gives_no_key_to_a_service_that_the_members_dismissed(
    board: Planned, elsewhere: Elsewhere
) -> None:
    """Old code and an old backup that still accepts it: ann saw the vote, and sends nothing."""
    [known] = reference(board.hardware, Role.SERVICE)["attestation"]
    document = {**known, "measurements": {"mrtd": [bytes(48).hex()]}}
    successor = AttestationVariant.from_fields(Fields(document, "variant"))
    board.amend(ReplaceService((successor,)), by=NAMES)
    with board.over_http() as url:
        home = board.member("ann", url)
        with home.connect() as session, pytest.raises(ServiceDismissedError):
            home.read(session)
    with elsewhere.running() as (service, url):
        home = board.member("ann", url)
        with home.connect() as session, pytest.raises(ServiceDismissedError):
            see_recovery(home, session)
        assert not recovery_open(service, board)


def test_a_damaged_backup_keeps_no_other_board_closed(
    board: Planned, elsewhere: Elsewhere, caplog: pytest.LogCaptureFixture
) -> None:
    """One cut file, one that is none: the log names them, and everything else goes on."""
    whole = (elsewhere.folder / "b.backup").read_bytes()
    (elsewhere.folder / "a.backup").write_bytes(whole[:100])
    (elsewhere.folder / "z.backup").mkdir()
    with elsewhere.running() as (_, url):
        recovered(board, url, "ann", "bob")
    for name, code in (("a.backup", "accord-RCV-002"), ("z.backup", FileAccessError.code)):
        assert any(
            name in line.getMessage() and code in line.getMessage() for line in caplog.records
        )


@pytest.mark.parametrize("looked", [False, True])
def test_a_backup_that_is_exchanged_under_the_service_is_noticed(
    board: Planned, elsewhere: Elsewhere, *, looked: bool
) -> None:
    """Members agree to the header that they were shown, and to no other file."""
    with elsewhere.running() as (_, url):
        if looked:
            home = board.member("bob", url)
            with home.connect() as session:
                give_share(home, session, see_recovery(home, session))
        board.back_up(elsewhere.folder / "b.backup")
        with pytest.raises(BackupDamagedError, match="exchanged"):
            recovered(board, url, "ann")
    assert elsewhere.store.boards() == []


def test_a_backup_that_disappears_under_the_service_ends_nothing(
    board: Planned, elsewhere: Elsewhere
) -> None:
    """It is an answer like any other that the file cannot be read."""
    with elsewhere.running() as (_, url):
        (elsewhere.folder / "b.backup").unlink()
        with pytest.raises(FileAccessError):
            recovered(board, url, "ann")


@pytest.mark.parametrize("field", ["board", "size", "root", "checkpoint"])
def test_a_header_that_lies_about_its_log_is_refused(board: Planned, field: str) -> None:
    """What members compare is in the header: it is checked against the log itself."""
    entries = asyncio.run(board.host.entries(0, board.host.durable_size))
    ledger, machine = Machine.replay(entries)
    note, root = board.host.checkpoint(), ledger.root()
    header = BackupHeader(board.board, bytes(32), 1, ledger.size, root, note, {})
    verify_backup(header, ledger, machine)
    other: dict[str, Any] = {
        "board": sha256(b"another"),
        "size": ledger.size - 1,
        "root": os.urandom(32),
        "checkpoint": board.host.checkpoint(ledger.size - 1),
    }
    with pytest.raises(AccordError):
        verify_backup(replace(header, **{field: other[field]}), ledger, machine)


def test_a_key_that_was_sealed_to_another_boot_opens_nothing(
    board: Planned, elsewhere: Elsewhere
) -> None:
    """Replayed by whoever overheard it: the service that started anew cannot read it."""
    with elsewhere.running() as (_, url), TrustSession.attest(url, board.genesis) as session:
        offer = recovery_offer(session)
        context = reseal_context(board.board, bytes(32), "ann")
        sealed = seal(os.urandom(32), offer.key, purpose="backup-key", context=context)
        with pytest.raises(ShareInvalidError):
            session.ask("POST", "recovery/key", {"member": "ann", "sealed": base64_encode(sealed)})


# --- witnesses -----------------------------------------------------------------------------------


@pytest.fixture
def witnesses() -> Iterator[list[FakeWitness]]:
    with four_witnesses() as found:
        yield found


@pytest.fixture
def witnessed(tmp_path: Path, witnesses: list[FakeWitness]) -> Iterator[Planned]:
    """A board of which a quorum has seen a release."""
    planned = prepared(tmp_path, witnesses=witnesses)
    planned.release()
    first = planned.service
    yield planned
    first.close()


def test_a_clone_that_no_witness_follows_makes_no_backup(
    witnessed: Planned, witnesses: list[FakeWitness], tmp_path: Path
) -> None:
    """The operator starts an old copy of the disk and asks it: nothing is written."""
    witnessed.restart()
    for witness in witnesses[:2]:
        witness.away = True
    with closing(witnessed.service), pytest.raises(NotCosignedError):
        witnessed.back_up(tmp_path / "b.backup")
    assert not (tmp_path / "b.backup").exists()


def test_a_forked_log_is_not_backed_up(witnessed: Planned, tmp_path: Path) -> None:
    """Two services on copies of one disk: whoever comes second makes no backup."""
    store = copied(witnessed.store)
    witnessed.release()
    witnessed.store = store
    witnessed.restart()
    with closing(witnessed.service), pytest.raises(LogForkError):
        witnessed.back_up(tmp_path / "b.backup")


def test_a_backup_without_a_quorum_is_refused(witnessed: Planned, tmp_path: Path) -> None:
    """The log's key alone signed its end: neither service nor member goes on from it."""
    path = witnessed.back_up(tmp_path / "restoring" / "b.backup")
    data = path.read_bytes()
    header, (key, secrets_key) = BackupReader(BytesIO(data)).header, _keys(witnessed, data)
    bare = replace(header, checkpoint=witnessed.host.checkpoint(header.size))
    reader = BackupReader(BytesIO(data))
    log, values = [*reader.log(key)], [*reader.secrets(secrets_key)]
    pieces = write_backup(bare, key=key, secrets_key=secrets_key, log=log, secrets=values)
    path.write_bytes(b"".join(pieces))
    elsewhere = Elsewhere(witnessed.hardware, path.parent)
    with elsewhere.running() as (_, url), pytest.raises(BackupDamagedError, match="not cosigned"):
        recovered(witnessed, url, "ann")

    replayed = Machine.replay(item.data for item in log if item.kind == "e")
    verify_backup(header, *replayed)
    with pytest.raises(BackupDamagedError, match="not cosigned"):
        verify_backup(bare, *replayed)


def test_an_older_backup_releases_nothing_that_witnesses_saw_go_on(
    witnessed: Planned, witnesses: list[FakeWitness], tmp_path: Path
) -> None:
    """Members who saw no more let it open; the witnesses know of the uses counted since."""
    witnessed.back_up(tmp_path / "restoring" / "b.backup")
    witnessed.release()
    elsewhere = Elsewhere(witnessed.hardware, tmp_path / "restoring")
    with elsewhere.running() as (service, url):
        recovered(witnessed, url, "ann", "cid")
    go_on(witnessed, service, elsewhere)
    introduce(service, witnesses)
    with closing(service), pytest.raises((LogForkError, NotCosignedError)):
        witnessed.release()


@pytest.mark.parametrize("liars", [1, 2])
def test_who_has_the_old_key_and_one_witness_halts_nothing(
    witnessed: Planned, witnesses: list[FakeWitness], tmp_path: Path, liars: int
) -> None:
    """The lost machine signs a second history: that counts once a quorum cannot be had."""
    witnessed.back_up(tmp_path / "restoring" / "b.backup")
    witnessed.deposit("later", VALUE)  # The lost machine goes on.
    old, size = witnessed.host.checkpoint(), witnessed.host.durable_size
    origin, root = log_origin(witnessed.board), witnessed.host.head.root()
    elsewhere = Elsewhere(witnessed.hardware, tmp_path / "restoring")
    with elsewhere.running() as (service, url):
        recovered(witnessed, url, "ann", "cid")
    go_on(witnessed, service, elsewhere)
    introduce(service, witnesses)
    for liar in witnesses[:liars]:
        liar.logs[origin] = Seen(size, root, old)
        liar.instead = lambda _request: (422, b"")
    with closing(service):
        if liars == 1:
            witnessed.release()
            assert (witnessed.host.freshness, witnessed.host.cosigning.fork) == ("degraded", None)
        else:
            with pytest.raises(LogForkError):
                witnessed.release()
            fork = witnessed.host.cosigning.fork
            assert fork is not None
            assert (fork.other, witnessed.host.freshness) == (old, "halted-fork")


def recovery_open(service: TrustService, board: Planned) -> bool:
    return service.recoveries._boards[board.board].loaded is not None


def test_every_flipped_byte_and_every_cut_is_noticed(board: Planned, tmp_path: Path) -> None:
    """Whatever is changed in a backup, it does not open: neither its log nor its secrets."""
    data = (tmp_path / "restoring" / "b.backup").read_bytes()
    key, secrets_key = _keys(board, data)
    assert _readable(data, key, secrets_key)
    step = max(1, len(data) // 400)
    flipped = [*range(300), *range(300, len(data), step), len(data) - 1]
    for at in flipped:
        changed = bytearray(data)
        changed[at] ^= 1
        assert not _readable(bytes(changed), key, secrets_key), at
    for end in range(0, len(data), step):
        assert not _readable(data[:end], key, secrets_key), end
    assert not _readable(data + b"\0", key, secrets_key)


def _keys(board: Planned, data: bytes) -> tuple[bytes, bytes]:
    from accord.client import backup_key_context
    from accord.identity import open_sealed
    from accord.service._root import BoardRoot

    header, ann = BackupReader(BytesIO(data)).header, board.identity("ann")
    holder = ann.signer.key_id
    key = open_sealed(
        header.keys[holder],
        ann.seal_private_key,
        purpose="backup-key",
        context=backup_key_context(header.board, header.backup, holder),
    )
    stored = board.store.secret(board.board, "board-root") or b""
    root = BoardRoot.from_bytes(board.board, stored)
    return key, root.derive("backup", salt=header.backup)


def _readable(data: bytes, key: bytes, secrets_key: bytes) -> bool:
    try:
        reader = BackupReader(BytesIO(data))
        [*reader.log(key)]
        [*reader.secrets(secrets_key)]
    except BackupDamagedError:
        return False
    return True
