# SPDX-License-Identifier: Apache-2.0
"""Who tries to get a board by a hand-over, to keep it after one, or to have it twice."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.live import OWNER, make_genesis
from tests.support.moving import (
    Machine,
    attested,
    log_of,
    movable,
    moved,
    replaying,
    settled_at,
    value_of,
    variants,
)
from tests.support.recovering import VALUE, Planned
from tests.support.witnessed import copied

from accord.channel import TLSIdentity
from accord.client import TrustSession, fetch_package, follow_board, next_service
from accord.encoding import Digest, Envelope, Fields, JSONValue, base64_encode, parse_json, sha256
from accord.errors import (
    AccordError,
    AppraisalError,
    BackupDamagedError,
    BoardMovedError,
    CounterSealedError,
    FoundingRefusedError,
    GenesisError,
    HandoverRefusedError,
    LogForkError,
    NotCosignedError,
    NotHandedOverError,
    ReplyError,
    RequestRefusedError,
    SignatureInvalidError,
    UnreachableError,
)
from accord.evidence import Evidence, Purpose, Role
from accord.identity import FileIdentity, Keyset, KeySigner, sign_statement
from accord.release import HandoverOffer, HandoverRequest
from accord.service import TrustService
from accord.service._backup import BackupReader
from accord.service._brought import bring
from accord.service._counter import Standing
from accord.service._store import Stored
from accord.testing import simulated_measurements

OURS = simulated_measurements(Role.SERVICE)["mrtd"]
"""The code that is running."""

STRANGE = bytes(47) + b"\3"
"""Code that no charter names."""


@dataclass
class Scene:
    """A board whose members accept two services, both of which answer."""

    board: Planned
    old: str
    there: Machine
    service: TrustService
    new: str


@contextmanager
def scene_in(root: Path, there: Machine | None = None, **given: Any) -> Iterator[Scene]:
    board = movable(root, **given)
    there = there or Machine(board.hardware)
    there.hardware = board.hardware
    with board.over_http() as old, there.running() as (service, new):
        yield Scene(board, old, there, service, new)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with scene_in(tmp_path) as scene:
        yield scene


def offered(session: TrustSession, there: TrustSession, board: Planned) -> dict[str, JSONValue]:
    """What the service of ``there`` says to a question of that of ``session``."""
    nonce = base64_encode(session.challenge(Purpose.HANDOVER))
    asked: JSONValue = {"genesis": board.envelope.to_json(), "nonce": nonce}
    reply = there.ask("POST", "handover/offer", asked)
    found = {name: reply.take(name) for name in ("offer", "evidence")}
    reply.end()
    return found


def read_offer(found: dict[str, JSONValue]) -> HandoverOffer:
    envelope = Envelope.from_json(found["offer"], what="offer")
    return HandoverOffer.from_fields(Fields(parse_json(envelope.payload, what="x"), "offer"))


def wish(scene: Scene, offer: HandoverOffer, *, by: KeySigner | None = None) -> JSONValue:
    """Somebody's signed request for exactly this offer."""
    request = HandoverRequest(
        scene.board.board, offer.nonce, offer.boot, offer.keyset.digest, scene.old, scene.new
    )
    signer = by or scene.board.identity("ann").signer
    return sign_statement("handover-request", request.to_json(), [signer]).to_json()


def asked(scene: Scene, session: TrustSession, there: TrustSession) -> dict[str, JSONValue]:
    """An honest request, not sent."""
    found = offered(session, there, scene.board)
    return {**found, "request": wish(scene, read_offer(found))}


@contextmanager
def both(scene: Scene) -> Iterator[tuple[TrustSession, TrustSession]]:
    with attested(scene.board, scene.old) as old, attested(scene.board, scene.new) as new:
        yield old, new


def still_here(scene: Scene) -> bool:
    return scene.board.host.machine.handover is None and scene.there.store.boards() == []


# --- who gets it --------------------------------------------------------------------------------


def test_a_service_that_the_charter_does_not_accept_gets_nothing(tmp_path: Path) -> None:
    """Members' commands refuse it, and so does the service, whoever asks."""
    with scene_in(tmp_path, Machine(None, mrtd=STRANGE)) as scene:  # type: ignore[arg-type]
        board = scene.board
        with pytest.raises(AppraisalError):
            moved(board, scene.old, scene.new)
        accepted = variants(board.hardware, STRANGE)
        with (
            attested(board, scene.old) as old,
            TrustSession.attest(scene.new, board.genesis, accepted=accepted) as new,
            pytest.raises(HandoverRefusedError, match="charter accepts no such"),
        ):
            old.ask("POST", "handover", asked(scene, old, new))
        assert still_here(scene)


def test_an_offer_that_was_used_is_refused(scene: Scene) -> None:
    """Its question was asked once; after the board came back the old papers open nothing."""
    with both(scene) as (old, new):
        papers = asked(scene, old, new)
        old.ask("POST", "handover", papers)
        with pytest.raises(HandoverRefusedError):
            old.ask("POST", "handover", papers)
    moved(scene.board, scene.old, scene.new)
    follow_board(scene.board.member("ann", scene.old))
    moved(scene.board, scene.new, scene.old)
    with attested(scene.board, scene.old) as old, pytest.raises(HandoverRefusedError):
        old.ask("POST", "handover", papers)
    assert scene.board.host.machine.log_key == scene.board.host.key


def test_anothers_evidence_does_not_make_an_offer(scene: Scene) -> None:
    """The attacker's keys with a genuine service's evidence, for the very same question."""
    mallory = KeySigner(Ed25519PrivateKey.generate())
    with both(scene) as (old, new):
        found = offered(old, new, scene.board)
        genuine = read_offer(found)
        forged = replace(genuine, keyset=Keyset(mallory.verify_key, genuine.key))
        envelope = sign_statement("handover-offer", forged.to_json(), [mallory])
        papers = {**found, "offer": envelope.to_json(), "request": wish(scene, forged)}
        with pytest.raises(HandoverRefusedError, match="does not hold"):
            old.ask("POST", "handover", papers)
    assert still_here(scene)


@pytest.mark.parametrize("change", ["board", "evidence", "signature", "key"])
def test_an_offer_that_was_changed_on_the_way_is_refused(scene: Scene, change: str) -> None:
    """Whoever carries it can exchange nothing, least of all the key that secrets are sealed to."""
    mallory = KeySigner(Ed25519PrivateKey.generate())
    with both(scene) as (old, new):
        found = offered(old, new, scene.board)
        offer = read_offer(found)
        changed = {
            "board": replace(offer, board=Digest("sha256:" + 64 * "0")),
            "evidence": replace(offer, evidence=Digest("sha256:" + 64 * "0")),
            "signature": offer,
            "key": replace(offer, key=offer.keyset.seal_key),
        }[change]
        # Only the service itself could sign it; for three of them it is made to.
        signer = mallory if change in ("signature", "key") else scene.service._parts.keys.signer
        envelope = sign_statement("handover-offer", changed.to_json(), [signer])
        papers = {**found, "offer": envelope.to_json(), "request": wish(scene, changed)}
        with pytest.raises((HandoverRefusedError, SignatureInvalidError)):
            old.ask("POST", "handover", papers)
    assert still_here(scene)


def test_evidence_for_another_purpose_does_not_make_an_offer(scene: Scene) -> None:
    """Anybody may have a service attest itself for a question of their own."""
    with both(scene) as (old, _):
        nonce = old.challenge(Purpose.HANDOVER)
        evidence: Evidence = scene.service.attest(scene.board.board, nonce)
        parts = scene.service._parts
        offer = HandoverOffer(
            scene.board.board, nonce, nonce, parts.keyset, parts.keyset.seal_key, evidence.digest
        )
        papers: dict[str, JSONValue] = {
            "offer": parts.sign("handover-offer", offer.to_json()).to_json(),
            "evidence": evidence.to_json(),
            "request": wish(scene, offer),
        }
        with pytest.raises(HandoverRefusedError, match="does not hold"):
            old.ask("POST", "handover", papers)
    assert still_here(scene)


def test_a_stranger_moves_no_board(scene: Scene) -> None:
    """Consent to the code was the vote; that it moves now a member says, or an owner."""
    mallory = KeySigner(Ed25519PrivateKey.generate())
    with both(scene) as (old, new):
        found = offered(old, new, scene.board)
        request = wish(scene, read_offer(found), by=mallory)
        with pytest.raises(SignatureInvalidError):
            old.ask("POST", "handover", {**found, "request": request})
        taken = {"genesis": scene.board.envelope.to_json(), "request": request}
        with pytest.raises(SignatureInvalidError):
            new.ask("POST", "handover/take", taken)
    assert still_here(scene)


def test_a_request_for_one_boot_moves_nothing_to_another(scene: Scene) -> None:
    """What ann signed names the boot that she looked at."""
    with both(scene) as (old, new):
        first, second = offered(old, new, scene.board), offered(old, new, scene.board)
        request = wish(scene, read_offer(first))
        with pytest.raises(HandoverRefusedError, match="another offer"):
            old.ask("POST", "handover", {**second, "request": request})
        stale = wish(scene, replace(read_offer(first), boot=bytes(32)))
        taken = {"genesis": scene.board.envelope.to_json(), "request": stale}
        with pytest.raises(HandoverRefusedError, match="another boot"):
            new.ask("POST", "handover/take", taken)
    assert still_here(scene)


def test_a_board_is_not_handed_over_to_the_service_that_has_it(scene: Scene) -> None:
    """It would end its own writing for nothing."""
    parts = scene.board.service._parts
    with attested(scene.board, scene.old) as old:
        with pytest.raises(HandoverRefusedError, match="log of its own"):
            offered(old, old, scene.board)
        nonce = old.challenge(Purpose.HANDOVER)
        key, none = parts.keyset.seal_key, sha256(b"")
        offer = HandoverOffer(scene.board.board, nonce, nonce, parts.keyset, key, none)
        evidence = parts.attester.collect(offer.binding.report_data())
        offer = replace(offer, evidence=evidence.digest)
        papers: dict[str, JSONValue] = {
            "offer": parts.sign("handover-offer", offer.to_json()).to_json(),
            "evidence": evidence.to_json(),
            "request": wish(scene, offer),
        }
        with pytest.raises(HandoverRefusedError, match="itself"):
            old.ask("POST", "handover", papers)
    assert still_here(scene)


def test_a_service_whose_owner_takes_on_no_such_board_offers_nothing(tmp_path: Path) -> None:
    """So it is known before anything has happened."""
    from accord.client import ServiceConfig

    with scene_in(tmp_path) as scene:
        config = ServiceConfig(scene.service.keyset.verify_key.key_id, sequence=1, max_boards=0)
        envelope = sign_statement("service-config", config.to_json(), [OWNER])
        asyncio.run(scene.service.configure(envelope))
        with pytest.raises(FoundingRefusedError):
            moved(scene.board, scene.old, scene.new)
        assert still_here(scene)


def test_a_board_that_somebody_founded_there_first_stays_where_it_is(scene: Scene) -> None:
    """The genesis is no secret: the other log would be in the way of the real one for ever."""
    with both(scene) as (old, new):
        new.found(scene.board.envelope)
        with pytest.raises(HandoverRefusedError, match="log of its own"):
            offered(old, new, scene.board)
    assert scene.board.host.machine.handover is None


def test_a_decoy_that_was_moved_there_first_stops_no_hand_over(tmp_path: Path) -> None:
    """A founder's own branch of the genesis: nothing is written that it would make final."""
    with scene_in(tmp_path, Machine(None, mrtd=OURS)) as scene:  # type: ignore[arg-type]
        board, elsewhere = scene.board, Machine(scene.board.hardware, scene.there.mrtd)
        with elsewhere.running() as (decoy, url), both(scene) as (old, new):
            asyncio.run(decoy.found(board.envelope))
            with TrustSession.attest(url, board.genesis) as session:
                branch = replace(scene, old=url)
                papers = asked(branch, session, new)
                session.ask("POST", "handover", papers)
                genesis: JSONValue = board.envelope.to_json()
                new.ask("POST", "handover/take", {"genesis": genesis, "request": papers["request"]})
            with pytest.raises(HandoverRefusedError, match="holds a log of the board already"):
                old.ask("POST", "handover", asked(scene, old, new))
        assert board.host.machine.handover is None


def test_a_service_whose_counter_seals_it_gives_nothing_away(scene: Scene) -> None:
    """An older copy of its disk, from just after the hand-over: votes and uses since are not in."""
    lives = scene.board.service._parts.hosting.lives
    with both(scene) as (old, new):
        old.ask("POST", "handover", asked(scene, old, new))
        lives.standing = Standing.REFUSED
        with pytest.raises(CounterSealedError):
            old.ask("POST", "handover", asked(scene, old, new))
    with pytest.raises(CounterSealedError):
        fetch(scene, scene.service._parts.keys.signer)


def test_nobody_founds_a_board_that_is_about_to_come(scene: Scene) -> None:
    """Between the offer and the transfer it is too late for that."""
    with both(scene) as (old, new):
        old.ask("POST", "handover", asked(scene, old, new))
        with pytest.raises(FoundingRefusedError):
            new.found(scene.board.envelope)
    moved(scene.board, scene.old, scene.new)


def test_papers_of_another_board_are_refused(scene: Scene) -> None:
    """The genesis that comes along is that of the path."""
    other, _ = make_genesis(scene.board.root / "other", scene.board.hardware)
    people = [FileIdentity.load(scene.board.root / "other" / name) for name in ("ann", "bob")]
    genesis = sign_statement("genesis", other.to_json(), [person.signer for person in people])
    asked_of: JSONValue = {"genesis": genesis.to_json(), "nonce": base64_encode(bytes(32))}
    with attested(scene.board, scene.new) as new, pytest.raises(GenesisError):
        new.ask("POST", "handover/offer", asked_of)


def test_a_services_lies_about_the_hand_over_are_noticed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An offer for another question, and a hand-over of another board."""
    honest = scene.service.arrivals.offer

    async def older(board: Digest, genesis: Envelope, _nonce: bytes) -> Any:
        return await honest(board, genesis, bytes(32))

    monkeypatch.setattr(scene.service.arrivals, "offer", older)
    with pytest.raises(ReplyError):
        moved(scene.board, scene.old, scene.new)
    monkeypatch.setattr(scene.service.arrivals, "offer", honest)
    moved(scene.board, scene.old, scene.new)
    gone = scene.board.host.machine.handover
    assert gone is not None
    other = replace(gone, board=Digest("sha256:" + 64 * "0"))
    said = scene.board.service._parts.sign("handover", other.to_json())

    async def another(_host: object) -> Any:
        return said, scene.new

    monkeypatch.setattr(scene.board.service.departures, "handover", another)
    with attested(scene.board, scene.old) as old, pytest.raises(ReplyError):
        next_service(old)


# --- who has it afterwards ----------------------------------------------------------------------


def test_the_old_service_writes_nothing_more(scene: Scene) -> None:
    """Members' statements need no key of its own: it refuses them all the same."""
    with both(scene) as (old, new):
        old.ask("POST", "handover", asked(scene, old, new))
        with pytest.raises(BoardMovedError):
            old.challenge()
        with pytest.raises(BoardMovedError):
            old.submit(scene.board.proposal(scene.board.policy()))
    size = len(log_of(scene.board.service, scene.board.board))
    with pytest.raises(BoardMovedError):
        scene.board.host.stage(scene.board.proposal(scene.board.policy()))
    asyncio.run(scene.board.service.tick(renew=True))
    assert len(log_of(scene.board.service, scene.board.board)) == size


def test_the_old_service_does_not_resume_when_it_is_started_again(tmp_path: Path) -> None:
    """It knows from its own log that it is not the one."""
    with scene_in(tmp_path) as scene, both(scene) as (old, new):
        old.ask("POST", "handover", asked(scene, old, new))
    board = scene.board
    size = len(log_of(board.service, board.board))
    board.service = board.start()
    board.host = asyncio.run(board.service.host(board.board))
    assert len(log_of(board.service, board.board)) == size
    with pytest.raises(BoardMovedError):
        board.release()


def test_whoever_replays_refuses_what_the_old_service_signs_afterwards(scene: Scene) -> None:
    """Somebody got hold of its key: it is the log's no more."""
    moved(scene.board, scene.old, scene.new)
    forged = scene.board.service._parts.sign("enactment", {})
    host = asyncio.run(scene.service.host(scene.board.board))
    with pytest.raises(SignatureInvalidError):
        host.stage(forged)


def test_an_old_disk_finds_no_witness_after_the_hand_over(tmp_path: Path) -> None:
    """The operator starts the old service on yesterday's disk: to witnesses its key is over."""
    with ExitStack() as stack:
        witnesses = stack.enter_context(replaying(tmp_path))
        board = movable(tmp_path, witnesses=witnesses)
        board.release()
        yesterday = copied(board.store)
        there = Machine(board.hardware)
        for witness in witnesses:
            witness.stores.append(there.store)
        with board.over_http() as old, there.running() as (service, new):
            stack.enter_context(closing(service))
            stack.enter_context(closing(board.service))
            moved(board, old, new)
            follow_board(board.member("ann", old))
        board.store = yesterday
        board.service = stack.enter_context(closing(board.start()))
        board.host = asyncio.run(board.service.host(board.board))
        with pytest.raises((LogForkError, NotCosignedError)):
            board.release()


def test_a_member_who_saw_the_hand_over_believes_no_old_disk(tmp_path: Path) -> None:
    """Without witnesses, whoever has read the log since is not deceived."""
    with scene_in(tmp_path) as scene:
        board, yesterday = scene.board, copied(scene.board.store)
        moved(board, scene.old, scene.new)
        follow_board(board.member("ann", scene.old))
    board.store = yesterday
    board.service = board.start()
    with board.over_http() as url:
        ann = board.member("ann", url)
        with ann.connect() as session, pytest.raises(SignatureInvalidError):
            ann.read(session)


def test_a_second_service_cannot_be_named(scene: Scene) -> None:
    """The entry in the log names exactly one; who comes second is told where it went."""
    with both(scene) as (old, new):
        old.ask("POST", "handover", asked(scene, old, new))
    second = Machine(scene.board.hardware)
    with second.running() as (_, url), pytest.raises(BoardMovedError) as told:
        moved(scene.board, scene.old, url)
    assert told.value.details["url"] == scene.new
    assert second.store.boards() == []
    moved(scene.board, scene.old, scene.new)
    assert scene.there.store.boards() == [scene.board.board]


# --- the package --------------------------------------------------------------------------------


def fetch(scene: Scene, signer: KeySigner) -> bytes:
    file = io.BytesIO()
    fetch_package(scene.old, scene.board.genesis, signer, file, public_only=False)
    return file.getvalue()


def test_a_third_party_is_given_no_package(scene: Scene) -> None:
    """Not before the hand-over, and afterwards to its service alone."""
    mallory, own = KeySigner(Ed25519PrivateKey.generate()), scene.service._parts.keys.signer
    with pytest.raises(NotHandedOverError):
        fetch(scene, own)
    with both(scene) as (old, new):
        old.ask("POST", "handover", asked(scene, old, new))
    for signer in (mallory, scene.board.identity("ann").signer):
        with pytest.raises(RequestRefusedError):
            fetch(scene, signer)
    assert VALUE not in fetch(scene, own)


def test_a_package_is_nothing_to_another_boot(scene: Scene) -> None:
    """The operator keeps it, and starts a copy of the new service's disk later."""
    with both(scene) as (old, new):
        old.ask("POST", "handover", asked(scene, old, new))
    package = fetch(scene, scene.service._parts.keys.signer)
    later = scene.there.start()
    reader = BackupReader(io.BytesIO(package))
    with pytest.raises(HandoverRefusedError, match="not for this boot"):
        later.arrivals._opened(reader, scene.board.board)


def test_nothing_is_given_again_once_the_new_service_has_it(scene: Scene) -> None:
    """Its operator rolls it back to before it came, and asks once more."""
    moved(scene.board, scene.old, scene.new)
    with pytest.raises(HandoverRefusedError, match="lately"):
        fetch(scene, scene.service._parts.keys.signer)
    with scene.there.running() as (forgetful, url):
        forgetful.arrivals._held = lambda _board: None  # type: ignore[method-assign, assignment]
        with pytest.raises(HandoverRefusedError, match="taken it already"):
            moved(scene.board, scene.old, url)


def test_a_package_of_another_log_is_refused(scene: Scene, tmp_path: Path) -> None:
    """Anybody can seal to a boot; what comes must be of the service that was asked, and whole."""
    with both(scene) as (old, new):
        old.ask("POST", "handover", asked(scene, old, new))
    package = fetch(scene, scene.service._parts.keys.signer)
    arrivals, board = scene.service.arrivals, scene.board.board
    entries = log_of(scene.board.service, board)
    elsewhere = Machine(scene.board.hardware).start()
    with attested(scene.board, scene.old) as session:
        claims = session.result.claims
    stranger = replace(
        scene.board.service.keyset,
        verify_key=KeySigner(Ed25519PrivateKey.generate()).verify_key,
    )
    with pytest.raises(HandoverRefusedError, match="another service wrote"):
        arrivals._store(io.BytesIO(package), board, stranger, claims)
    foreign = replace(claims, measurements={**claims.measurements, "mrtd": STRANGE})
    keyset = scene.board.service.keyset
    with pytest.raises(HandoverRefusedError, match="charter accepts no such"):
        arrivals._store(io.BytesIO(package), board, keyset, foreign)
    with pytest.raises(HandoverRefusedError, match="does not end"):
        arrivals._replayed(BackupReader(io.BytesIO(package)), Digest("sha256:" + 64 * "0"), entries)
    with pytest.raises(BackupDamagedError):
        arrivals._replayed(BackupReader(io.BytesIO(package)), board, entries[:-1])
    with pytest.raises(BackupDamagedError):
        arrivals._replayed(BackupReader(io.BytesIO(package)), board, entries[1:])
    with pytest.raises(HandoverRefusedError, match="names another"):
        elsewhere.arrivals._replayed(BackupReader(io.BytesIO(package)), board, entries)
    for damaged in (package[:-1], package[:-40], package[: len(package) // 2]):
        with pytest.raises(AccordError):
            arrivals._store(io.BytesIO(damaged), board, keyset, claims)
    assert scene.there.store.boards() == []


# --- cut off ------------------------------------------------------------------------------------


def before(target: Any, name: str) -> Callable[..., Any]:
    """The process is gone when it comes to this."""

    def gone(*_: Any, **__: Any) -> Any:
        raise UnreachableError(url="https://gone.example", detail=name)

    setattr(target, name, gone)
    return gone


def after(target: Any, name: str) -> None:
    """It does this, and is gone."""
    done = getattr(target, name)

    def gone(*args: Any, **given: Any) -> Any:
        done(*args, **given)
        raise UnreachableError(url="https://gone.example", detail=name)

    setattr(target, name, gone)


STEPS: dict[str, Callable[[Scene], None]] = {
    "before the offer": lambda s: void(before(s.service.arrivals, "offer")),
    "before the entry": lambda s: void(before(s.board.service.departures, "_write")),
    "after the entry": lambda s: void(before(s.board.service.departures, "_note")),
    "before the fetch": lambda s: void(before(s.service.arrivals, "_fetch")),
    "before the store": lambda s: void(before(s.service.arrivals, "_store")),
    "after the store": lambda s: after(s.service.arrivals, "_store"),
    "before the start": lambda s: void(before(s.service._boards, "taken_over")),
    "before it is told": lambda s: void(before(s.service.arrivals, "done")),
    "before it is heard": lambda s: void(before(s.board.service.departures, "done")),
}


def void(_: object) -> None:
    """For the table."""


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("witnessed", [False, True])
def test_cut_off_anywhere_it_is_asked_for_again(
    tmp_path: Path, step: str, *, witnessed: bool
) -> None:
    """Both services are killed at this step and started again: one has the board in the end."""
    with ExitStack() as stack:
        witnesses = stack.enter_context(replaying(tmp_path)) if witnessed else []
        with scene_in(tmp_path, witnesses=witnesses) as scene:
            for witness in witnesses:
                witness.stores.append(scene.there.store)
            STEPS[step](scene)
            with pytest.raises(UnreachableError):
                moved(scene.board, scene.old, scene.new)
            stack.callback(scene.service._parts.hosting.calls.close)
            stack.callback(scene.board.service._parts.hosting.calls.close)
        board = scene.board
        board.tls, scene.there.tls = TLSIdentity.generate(), TLSIdentity.generate()
        board.service = board.start()
        with board.over_http() as old, scene.there.running() as (service, new):
            moved(board, old, new)
            stack.callback(service._parts.hosting.calls.close)
            stack.callback(board.service._parts.hosting.calls.close)
        first = log_of(board.service, board.board)
        settled_at(board, service, scene.there)
        assert log_of(service, board.board)[: len(first)] == first
        assert value_of(board.release()) == VALUE


def test_a_service_that_has_more_or_other_entries_takes_nothing(scene: Scene) -> None:
    """What is in its store stays, and no log is ever put over another one."""
    with both(scene) as (old, new):
        old.ask("POST", "handover", asked(scene, old, new))
    parts, board = scene.service._parts, scene.board
    reader = BackupReader(io.BytesIO(fetch(scene, parts.keys.signer)))
    machine, batch = board.host.machine, [*map(Stored, log_of(board.service, board.board))]
    fence = parts.hosting.store.acquire(board.board, "x")
    parts.hosting.store.append(board.board, 0, batch, fence=fence)
    parts.hosting.store.release_writer(board.board, fence)
    with pytest.raises(BackupDamagedError, match="more of the log"):
        bring(parts.hosting, reader.header, machine, batch, notes={})
    with pytest.raises(BackupDamagedError, match="another entry 1"):
        bring(parts.hosting, reader.header, machine, [batch[0], *batch[2:]], notes={})


@pytest.mark.parametrize("change", ["size", "root", "signer"])
def test_only_the_successor_says_that_it_has_everything(scene: Scene, change: str) -> None:
    """Anybody else's word would leave the real one without its package."""
    with both(scene) as (old, new):
        with pytest.raises(NotHandedOverError):
            old.ask("POST", "handover/done", done_by(scene))
        old.ask("POST", "handover", asked(scene, old, new))
        with pytest.raises(SignatureInvalidError if change == "signer" else HandoverRefusedError):
            old.ask("POST", "handover/done", done_by(scene, change=change))
    with pytest.raises(HandoverRefusedError, match="not handed over to this"):
        scene.service.arrivals.done(scene.board.host)
    moved(scene.board, scene.old, scene.new)


def done_by(scene: Scene, *, change: str = "") -> dict[str, JSONValue]:
    gone = scene.board.host.machine.handover
    size = 1 if gone is None or change == "size" else gone.size + 1
    of = size - 1 if change == "root" else size
    body: JSONValue = {
        "schema": "accord.handover-done.v1",
        "board": scene.board.board,
        "size": size,
        "root": scene.board.host.head.root(of).hex(),
    }
    who = scene.board.service if change == "signer" else scene.service
    envelope = sign_statement("handover-done", body, [who._parts.keys.signer])
    return dict(envelope.to_json())
