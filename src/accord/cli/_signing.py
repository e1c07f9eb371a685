# SPDX-License-Identifier: Apache-2.0
"""What a statement says that somebody else prepared: read out in full before it is signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from accord.board import (
    AddMember,
    AssetOffer,
    Ballot,
    EnactPolicy,
    ExecutionStop,
    Genesis,
    Proposal,
    ProposedAction,
    ReplaceConstitution,
    ReplaceService,
    UpdateMember,
)
from accord.cli._board import genesis_text, must_list
from accord.cli._charter import constitution_text, member_text, variant_text
from accord.cli._options import read_file
from accord.cli._proposing import action_words
from accord.client import Unsigned
from accord.encoding import Digest, Fields, format_time, parse_json
from accord.errors import FileAccessError, UnsignedStatementError
from accord.identity import PublicIdentity
from accord.policy import diff


def read_out(unsigned: Unsigned, path: Path, identity: PublicIdentity) -> tuple[list[str], Digest]:
    """Everything that ``unsigned`` says, from ``path``, which ``identity`` is asked to sign.

    With it comes the digest that names it, as whoever prepared it was told.

    Whether the board still is as it was is *not* known here. Raises ``UnsignedStatementError``
    for what is not theirs to sign or cannot be shown, and what reading raises.
    """
    if unsigned.kind == "genesis":
        genesis = Genesis.from_bytes(unsigned.payload)
        must_list(genesis, identity)
        return genesis_text(genesis), genesis.digest
    show = _SHOWN.get(unsigned.kind)
    if show is None:
        detail = f"a statement of kind {unsigned.kind} cannot be shown, so nobody may sign it here"
        raise UnsignedStatementError(path=path, detail=detail)
    speaker = unsigned.speaker()
    if speaker != identity.name:
        detail = f"it is for {speaker or 'nobody'} to sign, not for {identity.name}"
        raise UnsignedStatementError(path=path, detail=detail)
    lines = show(Fields(unsigned.body, unsigned.kind), path)
    return [*lines, f"digest    {unsigned.digest}"], unsigned.digest


def _proposal(fields: Fields, _path: Path) -> list[str]:
    return _proposal_lines(Proposal.from_fields(fields))


def _proposal_lines(proposal: Proposal) -> list[str]:
    """The actions in full: against what they change something is not known without the log."""
    return [
        f"proposal  for board {proposal.board}",
        f"title     {proposal.title} (by {proposal.author})",
        f"base      {proposal.base}",
        *(line for item in proposal.actions for line in _action(item)),
        f"voting    until {format_time(proposal.expires)}",
    ]


def _action(item: ProposedAction) -> list[str]:
    match item:
        case EnactPolicy(policy):
            replaced = policy.predecessor or "nothing: it is the first version"
            below = [f"replaces {replaced}", *(c.sentence for c in diff(None, policy))]
        case AddMember(member) | UpdateMember(member):
            below = member_text(member)
        case ReplaceConstitution():
            below = constitution_text(item.constitution)
        case ReplaceService():
            below = [line for variant in item.service for line in variant_text(variant)]
        case _:
            below = []
    return [f"action    {action_words(item)}", *(f"  {line}" for line in below)]


def _ballot(fields: Fields, path: Path) -> list[str]:
    ballot = Ballot.from_fields(fields)
    proposal = _beside(path, ballot)
    return [
        *_proposal_lines(proposal),
        f"id        {ballot.proposal}",
        f"choice    {ballot.choice.value}",
        f"member    {ballot.member}",
        f"sequence  {ballot.sequence}",
    ]


def _beside(path: Path, ballot: Ballot) -> Proposal:
    """The proposal that the ballot is about: the file beside it is believed by digest alone."""
    beside = path.with_name(path.name + ".json")
    try:
        document = parse_json(read_file(beside), what=str(beside))
    except FileAccessError as exc:
        detail = f"what is voted on is not beside it, in {beside.name}"
        raise UnsignedStatementError(path=path, detail=detail) from exc
    body = document.get("proposal") if isinstance(document, dict) else None
    if body is None or Unsigned.of("proposal", body).digest != ballot.proposal:
        detail = f"{beside.name} shows another proposal than the one that is voted on"
        raise UnsignedStatementError(path=path, detail=detail)
    proposal = Proposal.from_fields(Fields(body, "proposal"))
    if proposal.board != ballot.board:
        raise UnsignedStatementError(path=path, detail="the proposal is of another board")
    return proposal


def _offer(fields: Fields, _path: Path) -> list[str]:
    offer = AssetOffer.from_fields(fields)
    terms = offer.terms
    size = "any size" if terms.max_output_bytes is None else f"{terms.max_output_bytes} bytes"
    return [
        f"offer     {offer.kind.value} {offer.name}, for board {offer.board}",
        f"version   {offer.tag}",
        f"volume    {offer.volume_id or '-'}, key {offer.key_commitment or '-'}",
        f"replaces  {offer.predecessor or 'nothing: it is the first offer'}",
        f"policies  {', '.join(terms.policies) or 'none'}",
        f"purposes  {', '.join(terms.purposes) or 'none'}",
        f"readers   {', '.join(terms.readers) or 'none'}",
        f"assurance at least {terms.min_assurance.value}",
        f"network   {terms.network.value}",
        f"uses      at most {terms.max_uses}, until {format_time(terms.not_after)}",
        f"outputs   of {size}",
    ]


def _stop(fields: Fields, _path: Path) -> list[str]:
    stop = ExecutionStop.from_fields(fields)
    return [
        f"stop      {stop.scope}, on board {stop.board}",
        f"reason    {stop.reason}",
        f"member    {stop.member}",
        f"time      {format_time(stop.time)}",
    ]


_SHOWN: dict[str, Callable[[Fields, Path], list[str]]] = {
    "asset": _offer,
    "ballot": _ballot,
    "execution-stop": _stop,
    "proposal": _proposal,
}
"""Kinds that can be shown; no other is signed."""
