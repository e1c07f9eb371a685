# SPDX-License-Identifier: Apache-2.0
"""A board that moves to another trust service: asking for it, and following it there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import BinaryIO

from accord.board import Genesis
from accord.channel import SignedRequest
from accord.client._connection import Connection
from accord.client._home import MemberHome
from accord.client._proof import prove_environment
from accord.client._session import TrustSession
from accord.encoding import Envelope, JSONValue, base64_encode
from accord.errors import BoardMovedError, ReplyError, ServiceChangedError
from accord.evidence import Claims, Purpose
from accord.identity import Keyset, Signer, sign_statement
from accord.policy import AttestationVariant, Channel
from accord.release import MAX_HANDOVER_URL, Handover, HandoverOffer, HandoverRequest


def next_service(session: TrustSession) -> Handover:
    """To whom the attested service handed the board over: its own signed word.

    But for the address, which is where it was reached last, and proves nothing.
    Raises ``NotHandedOverError``, ``ReplyError`` or ``SignatureInvalidError``.
    """
    fields = session.ask("GET", "handover")
    envelope = Envelope.from_json(fields.take("handover"), what="handover")
    url = fields.text("url", limit=MAX_HANDOVER_URL)
    fields.end()
    handover = Handover.from_fields(session.said_by_service("handover", envelope).fields())
    if handover.board != session.board:
        raise ReplyError(detail="the hand-over of another board")
    return replace(handover, url=url)


def follow(session: TrustSession) -> TrustSession:
    """A session with the service that the attested one named, attested in its turn.

    By the founders' anchors and the conditions that the first one names: that it checked them
    against the charter in force is its word, as is everything that it releases. Raises
    ``NotHandedOverError``, ``ServiceChangedError``, CHN and ATT errors.
    """
    handover = next_service(session)
    there = TrustSession.attest(
        handover.url,
        session.genesis,
        channel=session.channel,
        accepted=handover.accepted,
    )
    if there.keyset.verify_key != handover.key:
        with there:
            raise ServiceChangedError(url=handover.url)
    return there


def follow_board(home: MemberHome, *, url: str | None = None) -> MemberHome:
    """The home, which uses the service that has its board now: attested, and its log continues.

    ``url`` is where that is, if the service before cannot be asked any more; then the home must
    have read of the vote that accepted it. Raises ``NotHandedOverError``, LED, CHN and ATT
    errors.
    """
    if url is None:
        with home.connect() as session:
            url = next_service(session).url
            there = follow(session)
        moved = replace(home, service=url)
    else:
        # Read again: what it remembers of the charter may be of a moment ago.
        moved = MemberHome.load(home.identity.home, service=url)
        there = moved.connect()
    with there:
        moved.read(there)
    MemberHome.join(home.identity.home, home.genesis, url)
    return moved


def hand_over(home: MemberHome, session: TrustSession, *, source: str, target: str) -> Handover:
    """Moves the board from the attested service, reached at ``source``, to that at ``target``.

    Cut off anywhere, it can be asked for again. Raises ``HandoverRefusedError``,
    ``ServiceDismissedError``, ``NotCosignedError``, CHN and ATT errors.
    """
    # (1) The service at the target is one that the charter in force accepts.
    accepted = _accepted(home, session)
    genesis = session.ask("GET", "genesis")
    founded: JSONValue = {name: genesis.take(name) for name in genesis.names()}
    there = TrustSession.attest(target, home.genesis, accepted=accepted)
    with there:
        # (2) It answers a question of the service that has the board.
        nonce = session.challenge(Purpose.HANDOVER)
        asked: JSONValue = {"genesis": founded, "nonce": base64_encode(nonce)}
        reply = there.ask("POST", "handover/offer", asked)
        envelope = Envelope.from_json(reply.take("offer"), what="handover offer")
        evidence = reply.take("evidence")
        reply.end()
        offer = _offered(there, envelope, nonce)
        request = HandoverRequest(
            home.genesis.digest, nonce, offer.boot, offer.keyset.digest, source, target
        )
        signed = sign_statement("handover-request", request.to_json(), [home.identity.signer])
        wish = signed.to_json()
        # (3) That service writes the entry, and a quorum sees it, if there are witnesses.
        document: JSONValue = {"request": wish, "offer": envelope.to_json(), "evidence": evidence}
        session.ask("POST", "handover", document)
        handover = next_service(session)
        # (4) The other one fetches everything, and goes on.
        taken = there.ask("POST", "handover/take", {"genesis": founded, "request": wish})
        done = taken.take("done")
        taken.end()
        # (5) From here on the first one gives it to nobody, whatever becomes of the other.
        session.ask("POST", "handover/done", done)
    return handover


def _accepted(home: MemberHome, session: TrustSession) -> tuple[AttestationVariant, ...]:
    """The conditions of the charter in force. Raises what `MemberHome.read` raises."""
    try:
        _, machine, _ = home.read(session)
    except BoardMovedError:  # Asked before, and cut off.
        return next_service(session).accepted
    return machine.board.charter.service


def _offered(there: TrustSession, envelope: Envelope, nonce: bytes) -> HandoverOffer:
    statement = there.said_by_service("handover-offer", envelope)
    offer = HandoverOffer.from_fields(statement.fields())
    named = (offer.board, offer.nonce, offer.keyset)
    if named != (there.board, nonce, there.keyset):
        raise ReplyError(detail="the offer of another service")
    return offer


def fetch_package(
    url: str, genesis: Genesis, signer: Signer, file: BinaryIO, *, public_only: bool
) -> tuple[Keyset, Claims]:
    """Writes what the service at ``url`` hands over to the holder of ``signer`` into ``file``.

    Returns its keys, and what its evidence proves under the founders' anchors; whether the
    members accept that, only the log in the package can say. CHN and ATT errors.
    """
    connection = Connection(url, public_only=public_only)
    try:
        keyset, claims = prove_environment(connection, genesis.digest, genesis.anchors, Channel.L2)
        connection.attested = True
        path = f"/v1/boards/{genesis.digest.removeprefix('sha256:')}/handover/package"
        now = datetime.now(UTC)
        request = SignedRequest(genesis.digest, path, connection.context.pinned or b"", now)
        headers = {"Authorization": request.header(signer)}
        file.writelines(connection.download(path, headers))
    finally:
        connection.close()
    return keyset, claims
