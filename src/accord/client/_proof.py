# SPDX-License-Identifier: Apache-2.0
"""How a trust service proves who it is, over the connection that is open."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from accord.board import Genesis, verify_genesis
from accord.channel import Side
from accord.encoding import Digest, Envelope, Fields, JSONValue, base64_encode, canonical_json
from accord.errors import GenesisError, PinMismatchError
from accord.evidence import (
    AttestationResult,
    Claims,
    Evidence,
    Purpose,
    appraise,
    evaluate,
    verify,
)
from accord.identity import Keyset, VerifyKey
from accord.policy import AttestationVariant, Channel
from accord.release import NONCE_BYTES, service_binding

if TYPE_CHECKING:
    from accord.client._connection import Connection


@dataclass(frozen=True, slots=True)
class _Proof:
    """What the peer sent; nothing of it is believed yet."""

    nonce: bytes
    keyset: Keyset
    evidence: Evidence


def prove_environment(
    connection: Connection, board: Digest, anchors: Sequence[Digest], channel: Channel
) -> tuple[Keyset, Claims]:
    """The keys of the peer, and what its evidence proves of where it runs, under ``anchors``.

    Whether anybody should accept that environment is *not* decided here. CHN and ATT errors.
    """
    proof, rest = _asked(connection, board, channel)
    rest.end()
    return proof.keyset, _verified(connection, board, anchors, channel, proof)


def prove_service(
    connection: Connection,
    genesis: Genesis,
    channel: Channel,
    accepted: Sequence[AttestationVariant] = (),
    *,
    known: VerifyKey | None = None,
) -> tuple[Keyset, AttestationResult]:
    """The keys of the peer, which is a service that the founders accept, or one of ``accepted``.

    Or whoever holds ``known``, the log's key. That the members still accept it is *not*
    checked: only its log can say so. CHN and ATT errors.
    """
    keyset, claims = prove_environment(connection, genesis.digest, genesis.anchors, channel)
    return keyset, _appraised(claims, keyset, (*genesis.service, *accepted), known)


def _appraised(
    claims: Claims,
    keyset: Keyset,
    accepted: Sequence[AttestationVariant],
    known: VerifyKey | None,
) -> AttestationResult:
    # Whoever holds the log's key needs no further admission: the log says who may hold it.
    decide = evaluate if keyset.verify_key == known else appraise
    return decide(claims, accepted, now=datetime.now(UTC))


def prove_first(
    connection: Connection,
    board: Digest,
    channel: Channel,
    purpose: Purpose,
    accepted: Sequence[AttestationVariant] = (),
    *,
    known: VerifyKey | None = None,
) -> tuple[Genesis, Keyset, AttestationResult]:
    """`prove_service` for a caller who has the board's digest alone: the peer sends the rest.

    ``purpose`` is what the caller will need a nonce for, which comes along.
    Raises ``GenesisError`` where that is another genesis, CHN and ATT errors.
    """
    proof, rest = _asked(connection, board, channel, with_genesis=True, next_nonce=purpose)
    genesis = _verified_genesis(canonical_json(rest.take("genesis")))
    rest.end()
    if genesis.digest != board:
        raise GenesisError(detail=f"the service sent board {genesis.digest}, not {board}")
    claims = _verified(connection, board, genesis.anchors, channel, proof)
    result = _appraised(claims, proof.keyset, (*genesis.service, *accepted), known)
    return genesis, proof.keyset, result


@functools.lru_cache(maxsize=8)
def _verified_genesis(envelope: bytes) -> Genesis:
    """`verify_genesis` of these very bytes: it depends on nothing else."""
    return verify_genesis(Envelope.from_bytes(envelope, what="genesis"))


def _asked(
    connection: Connection,
    board: Digest,
    channel: Channel,
    *,
    with_genesis: bool = False,
    next_nonce: Purpose | None = None,
) -> tuple[_Proof, Fields]:
    # A fresh nonce, so that the evidence is of now.
    nonce = os.urandom(NONCE_BYTES)
    request: dict[str, JSONValue] = {"board": board, "nonce": base64_encode(nonce)}
    if channel is Channel.L2:
        request["level"] = 2
    if with_genesis:
        request["genesis"] = True
    fields = connection.fields("POST", "/v1/attest", request, next_nonce=next_nonce)
    keyset = Keyset.from_fields(fields.object("keyset"))
    return _Proof(nonce, keyset, Evidence.from_fields(fields.object("evidence"))), fields


def _verified(
    connection: Connection,
    board: Digest,
    anchors: Sequence[Digest],
    channel: Channel,
    proof: _Proof,
) -> Claims:
    # (1) The key that answered this TLS connection is the one in the key set.
    pinned = connection.context.pinned
    if proof.keyset.tls_spki_sha256 is None or proof.keyset.tls_spki_sha256 != pinned:
        raise PinMismatchError(url=connection.url)
    # (2) The evidence is genuine under the founders' anchors and binds nonce and keys,
    #     and at level 2 this connection.
    exporter = connection.binder(Side.SERVER, proof.nonce) if channel is Channel.L2 else None
    binding = service_binding(board, proof.keyset, proof.nonce, Purpose.CHANNEL, exporter=exporter)
    return verify(proof.evidence, anchors=anchors, now=datetime.now(UTC), binding=binding)
