# SPDX-License-Identifier: Apache-2.0
"""Members' statements: what comes with them is checked, then they become entries."""

from __future__ import annotations

import hashlib
import hmac

from accord.board import AssetKind, AssetOffer, AssetWithdrawal, Ballot, BoardState
from accord.encoding import Digest, Envelope, Fields, parse_canonical_json
from accord.errors import (
    AccordError,
    AssetKeyError,
    DepositError,
    EvidenceMissingError,
    MalformedError,
    UnsupportedFormatError,
)
from accord.evidence import Evidence, Purpose, appraise, verify
from accord.identity import open_sealed, statement_kind, verify_statement
from accord.release import ASSET_KEY_PURPOSE, asset_key_context, ballot_binding
from accord.secrets import MAX_DEPOSIT, SecretValue
from accord.service._host import BoardHost
from accord.service._parts import Parts
from accord.service._secret_names import deposit_name
from accord.volumes import VolumeKey, key_commitment, parse_volume_id

MEMBER_STATEMENTS = frozenset(
    {
        "asset",
        "asset-withdrawal",
        "ballot",
        "execution-stop",
        "instance-token",
        "proposal",
        "proposal-withdrawal",
    }
)

SALT_BYTES = 32
MAX_SEALED = MAX_DEPOSIT + SALT_BYTES + 128
"""Longest deposit as it travels: the largest value, its salt, and HPKE's own 48 bytes."""


class Statements:
    """Takes in what members sign."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def record(
        self,
        host: BoardHost,
        envelope: Envelope,
        *,
        sealed_key: bytes | None,
        evidence: Evidence | None,
        nonce: bytes | None = None,
    ) -> int:
        """Stages a member's statement with what came with it; returns its entry's index.

        The same statement again is no error and changes nothing. ``nonce`` is the one that a
        ballot must answer, where we asked for it ourselves. Raises BRD and ATT errors.
        """
        kind = statement_kind(envelope)
        if kind not in MEMBER_STATEMENTS:
            raise UnsupportedFormatError(
                what="statement", found=kind, expected=" or ".join(sorted(MEMBER_STATEMENTS))
            )
        known = host.machine.board.recorded
        if envelope.statement_digest in known:
            # Only a member may learn that; whoever is none is told what the signature lacks.
            verify_statement(envelope, kind, host.machine.board.keys)
            return known[envelope.statement_digest]
        secrets: dict[str, bytes] = {}
        objects: dict[str, bytes] = {}
        if kind == "asset":
            name = deposit_name(envelope.statement_digest)
            secrets[name] = self._deposit(host, envelope, sealed_key)
        elif kind == "asset-withdrawal":
            secrets = _erased(host.machine.board, envelope)
        elif kind == "ballot":
            objects = self._ballot_evidence(host, envelope, evidence, nonce)
        return host.stage(envelope, objects=objects, secrets=secrets)

    # --- deposits --------------------------------------------------------------------------

    def _deposit(self, host: BoardHost, envelope: Envelope, sealed: bytes | None) -> bytes:
        """What came with an offer, if it is what the offer commits to."""
        statement = verify_statement(envelope, "asset", host.machine.board.keys)
        offer = AssetOffer.from_fields(statement.fields())
        if sealed is None:
            raise AssetKeyError(asset=offer.name)
        raw = open_sealed(
            sealed,
            self._parts.keys.seal_private_key,
            purpose=ASSET_KEY_PURPOSE,
            context=asset_key_context(statement.digest),
        )
        return _value(offer, raw) if offer.kind is AssetKind.SECRET else _volume_key(offer, raw)

    # --- automated members -----------------------------------------------------------------

    def _ballot_evidence(
        self,
        host: BoardHost,
        envelope: Envelope,
        evidence: Evidence | None,
        nonce: bytes | None,
    ) -> dict[str, bytes]:
        """The evidence behind an automated member's ballot, verified; people need none."""
        state, now = host.machine.board, host.now()
        # (1) The member signed it; before that, nothing about evidence is told.
        statement = verify_statement(envelope, "ballot", state.keys)
        ballot = Ballot.from_fields(statement.fields())
        member = state.members.get(ballot.member)
        if member is None or not member.attestation:
            return {}
        if evidence is None or ballot.challenge is None or ballot.evidence != evidence.digest:
            raise EvidenceMissingError(member=ballot.member)
        # (2) It answers a question of ours, once.
        if nonce is None:
            self._parts.challenges.consume(ballot.challenge, host.board, Purpose.BALLOT, now=now)
        # (3) The evidence is genuine, and about this very vote.
        binding = ballot_binding(
            host.board,
            ballot.proposal,
            choice=ballot.choice.value,
            sequence=ballot.sequence,
            key=member.identity.verify_key,
            nonce=ballot.challenge,
        )
        claims = verify(evidence, anchors=state.genesis.anchors, now=now, binding=binding)
        # (4) The environment is one that the charter names for this member.
        appraise(claims, member.attestation, now=now)
        return {evidence.digest: evidence.to_bytes()}


def erases(envelope: Envelope) -> bool:
    """Whether it is an owner's wish that what they deposited is erased; nothing is verified."""
    return _erasing(envelope) is not None


def _erasing(envelope: Envelope) -> AssetWithdrawal | None:
    if statement_kind(envelope) != "asset-withdrawal":
        return None
    try:
        body = parse_canonical_json(envelope.payload, what="asset-withdrawal")
        withdrawal = AssetWithdrawal.from_fields(Fields(body, "asset-withdrawal"))
    except AccordError:  # Refused as it is staged, and first where nobody signed it.
        return None
    return withdrawal if withdrawal.erase else None


def _erased(state: BoardState, envelope: Envelope) -> dict[str, bytes]:
    """What takes the place of deposits; that their owner says so is checked as it is staged."""
    withdrawal = _erasing(envelope)
    record = None if withdrawal is None else state.assets.get(withdrawal.name)
    return {deposit_name(offer): b"" for offer in (record.deposits if record else ())}


def _volume_key(offer: AssetOffer, raw: bytes) -> bytes:
    volume_id = parse_volume_id(offer.volume_id, what="volume_id")
    if key_commitment(VolumeKey(raw), volume_id=volume_id) != offer.key_commitment:
        raise AssetKeyError(asset=offer.name)
    return raw


def _value(offer: AssetOffer, raw: bytes) -> bytes:
    """A deposited value, as the store keeps secrets: ``raw`` is its salt and the value itself."""
    tag = Digest(f"sha256:{hashlib.sha256(raw).hexdigest()}")
    if len(raw) <= SALT_BYTES or not hmac.compare_digest(tag, offer.tag):
        raise DepositError(asset=offer.name, detail="it is not what the offer commits to")
    try:
        return SecretValue.deposited(raw[SALT_BYTES:]).to_bytes()
    except MalformedError as exc:
        raise DepositError(asset=offer.name, detail=f"it exceeds {MAX_DEPOSIT} bytes") from exc
