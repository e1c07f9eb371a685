# SPDX-License-Identifier: Apache-2.0
"""The state of a board as one document, from which the same state can be built again.

A snapshot is the word of whoever wrote it: it saves replaying a log, it does not replace it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar

from accord.board._action import ResolveFork, read_action
from accord.board._asset import AssetOffer
from accord.board._charter import Charter
from accord.board._constitution import Action, Constitution
from accord.board._execution import ExecutionStop, InstanceToken, StopRecord
from accord.board._genesis import Genesis
from accord.board._member import Member
from accord.board._proposal import Ballot, Proposal
from accord.board._record import AssetRecord, ProposalRecord, ProposalStatus, Requirement
from accord.board._recovery_plan import RecoveryPlan
from accord.board._state import BoardState
from accord.board._tag import TagRecord
from accord.board._witness import WitnessPolicy
from accord.encoding import Digest, Fields, JSONValue, format_time, parse_digest
from accord.errors import MalformedError
from accord.policy import (
    MAX_WEIGHT,
    AttestationVariant,
    Electorate,
    Policy,
    Rule,
    parse_policy_name,
)

T = TypeVar("T")

MAX_RECORDS = 10_000_000
"""Most items of one kind in a snapshot: a log of ten gigabytes. It bounds a mistake."""

_Electorates = Mapping[Digest, Electorate]


def board_to_json(state: BoardState) -> JSONValue:
    """Everything in ``state``, in the order in which it came to be."""
    # Who voted under one charter is written once, not with each of thousands of proposals.
    electorates = {
        record.proposal.base: record.requirements[0].electorate
        for record in state.proposals.values()
    }
    return {
        "genesis": state.genesis.to_json(),
        "charter": state.charter.to_json(),
        "electorates": [_electorate(base, found) for base, found in electorates.items()],
        "assets": [_asset(record) for record in state.assets.values()],
        "proposals": [_proposal(record) for record in state.proposals.values()],
        "open": list(state.open_proposals),
        "policies": [
            {
                "name": name,
                "versions": [policy.digest for policy in versions],
                "public": dict(state.public[name]),
            }
            for name, versions in state.policies.items()
        ],
        "stops": [
            {
                "id": id_,
                "stop": it.stop.to_json(),
                "index": it.index,
                "key": it.key,
                "resumed": it.resumed,
            }
            for id_, it in state.stops.items()
        ],
        "tokens": [token.to_json() for token in state.tokens.values()],
        "issued": sorted(digest.hex() for digest in state.issued - state.tokens.keys()),
        "lineage": [
            {"tag": tag, "owners": sorted(owners)} for tag, owners in state.lineage.items()
        ],
        "witnessed": [
            {"index": index, "witnesses": policy.to_json()} for index, policy in state.witnessed
        ],
        "resolved": [
            {"index": index, "resolution": item.to_json()} for index, item in state.resolved
        ],
        "tags": [record.to_json() for record in state.tags.values()],
        "recorded": _in_order(state),
    }


def _in_order(state: BoardState) -> list[JSONValue]:
    """The digest of every statement, each at the index of its entry."""
    found = sorted((index, digest) for digest, index in state.recorded.items())
    if [index for index, _ in found] != list(range(len(found))):
        message = "a state without some of its log cannot be written"
        raise RuntimeError(message)
    return [digest for _, digest in found]


def _electorate(base: Digest, electorate: Electorate) -> JSONValue:
    return {
        "base": base,
        "roles": {name: sorted(roles) for name, roles in electorate.roles.items()},
        "weights": dict(electorate.weights),
    }


def _asset(record: AssetRecord) -> JSONValue:
    return {
        "offer": record.offer.to_json(),
        "offered_by": record.offered_by,
        "latest": record.latest,
        "owner_key": record.owner_key,
        "reader_keys": dict(record.reader_keys),
        "deposits": list(record.deposits),
        "withdrawn": record.withdrawn,
    }


def _proposal(record: ProposalRecord) -> JSONValue:
    document: dict[str, JSONValue] = {
        "id": record.id,
        "proposal": record.proposal.to_json(),
        "requirements": [_requirement(item) for item in record.requirements],
        "vetoers": sorted(record.vetoers),
        "notice_s": record.notice_s,
        "ballots": [ballot.to_json() for ballot in record.ballots.values()],
        "status": record.status.value,
    }
    if record.approved_at is not None:
        document["approved_at"] = format_time(record.approved_at)
    return document


def _requirement(item: Requirement) -> JSONValue:
    return {
        "action": item.action.value,
        "source": item.source,
        "rule": item.rule.to_json(),
        "affected_owners": sorted(item.electorate.affected_owners),
        "lineage_owners": sorted(item.electorate.lineage_owners),
        "stoppers": sorted(item.electorate.stoppers),
    }


def read_board(fields: Fields) -> BoardState:
    """Reads and ends ``fields``; that a log leads to this state is *not* checked.

    Raises ``MalformedError`` and what reading the parts raises.
    """
    genesis = Genesis.from_json(fields.take("genesis"))
    charter = _read_charter(fields.object("charter"))
    electorates = dict(map(_read_electorate, fields.objects("electorates", limit=MAX_RECORDS)))
    state = BoardState(
        genesis,
        genesis.digest,
        genesis.charter if charter.digest == genesis.charter.digest else charter,
    )
    for record in map(_read_asset, fields.objects("assets", limit=MAX_RECORDS)):
        state.assets[record.offer.name] = record
    for item in fields.objects("proposals", limit=MAX_RECORDS):
        proposal = _read_proposal(item, electorates)
        state.proposals[proposal.id] = proposal
    for digest in _digests(fields, "open"):
        state.open_proposals[digest] = _known(state.proposals, digest, "an open proposal")
    enacted = {
        policy.digest: policy
        for record in state.proposals.values()
        if record.enacted
        for policy in record.proposal.policies
    }
    for item in fields.objects("policies", limit=MAX_RECORDS):
        _read_policy(item, state, enacted)
    for item in fields.objects("stops", limit=MAX_RECORDS):
        stop = StopRecord(
            ExecutionStop.from_fields(item.object("stop")),
            item.integer("index", minimum=0),
            item.digest("key"),
            item.flag("resumed"),
        )
        state.stops[item.digest("id")] = stop
        item.end()
    for token in map(InstanceToken.from_fields, fields.objects("tokens", limit=MAX_RECORDS)):
        state.tokens[token.token_sha256] = token
    state.issued |= {*fields.hexes("issued", size=32, most=MAX_RECORDS), *state.tokens}
    for item in fields.objects("lineage", limit=MAX_RECORDS):
        state.lineage[item.digest("tag")] = frozenset(item.unique_names("owners"))
        item.end()
    for item in fields.objects("witnessed", limit=MAX_RECORDS):
        policy = WitnessPolicy.from_fields(item.object("witnesses"))
        state.witnessed.append((item.integer("index", minimum=0), policy))
        item.end()
    for item in fields.objects("resolved", limit=MAX_RECORDS):
        resolution = read_action(item.object("resolution"))
        if not isinstance(resolution, ResolveFork):
            raise MalformedError(what="snapshot", detail="another action resolved a fork")
        state.resolved.append((item.integer("index", minimum=1), resolution))
        item.end()
    for found in map(TagRecord.from_fields, fields.objects("tags", limit=MAX_RECORDS)):
        state.tags[found.name] = found
    state.recorded.update({digest: n for n, digest in enumerate(_digests(fields, "recorded"))})
    fields.end()
    return state


def _digests(fields: Fields, name: str) -> Iterator[Digest]:
    listed = fields.items(name, limit=MAX_RECORDS)
    return (parse_digest(value, what=where) for where, value in listed)


def _known(items: Mapping[Digest, T], digest: Digest, what: str) -> T:
    """What the snapshot refers to. Raises ``MalformedError`` where it does not hold it."""
    if digest not in items:
        raise MalformedError(what="snapshot", detail=f"{what} is missing: {digest}")
    return items[digest]


def _read_charter(fields: Fields) -> Charter:
    members = map(Member.from_fields, fields.objects("members"))
    charter = Charter(
        MappingProxyType({member.name: member for member in members}),
        Constitution.from_fields(fields.object("constitution")),
        tuple(map(AttestationVariant.from_fields, fields.objects("service"))),
        WitnessPolicy.from_fields(fields.object("witnesses")) if fields.has("witnesses") else None,
        RecoveryPlan.from_fields(fields.object("recovery")) if fields.has("recovery") else None,
    )
    fields.end()
    charter.check()
    return charter


def _read_electorate(fields: Fields) -> tuple[Digest, Electorate]:
    base = fields.digest("base")
    roles, weights = fields.object("roles"), fields.object("weights")
    electorate = Electorate(
        {name: frozenset(roles.unique_names(name)) for name in roles.names()},
        {name: weights.integer(name, minimum=0, maximum=MAX_WEIGHT) for name in weights.names()},
    )
    fields.end()
    return base, electorate


def _read_asset(fields: Fields) -> AssetRecord:
    readers = fields.object("reader_keys")
    record = AssetRecord(
        AssetOffer.from_fields(fields.object("offer")),
        fields.digest("offered_by"),
        fields.digest("latest"),
        fields.digest("owner_key"),
        {name: readers.digest(name) for name in readers.names()},
        tuple(_digests(fields, "deposits")),
        fields.flag("withdrawn"),
    )
    fields.end()
    return record


def _read_proposal(fields: Fields, electorates: _Electorates) -> ProposalRecord:
    id_ = fields.digest("id")
    proposal = Proposal.from_fields(fields.object("proposal"))
    electorate = _known(electorates, proposal.base, "an electorate")
    ballots = map(Ballot.from_fields, fields.objects("ballots"))
    record = ProposalRecord(
        id=id_,
        proposal=proposal,
        requirements=tuple(
            _read_requirement(item, electorate) for item in fields.objects("requirements")
        ),
        vetoers=frozenset(fields.unique_names("vetoers")),
        notice_s=fields.integer("notice_s", minimum=0),
        ballots={ballot.member: ballot for ballot in ballots},
        status=fields.choice("status", ProposalStatus),
        approved_at=fields.optional("approved_at", fields.time),
    )
    fields.end()
    if not record.requirements:
        raise MalformedError(what=fields.path("requirements"), detail="there is none")
    return record


def _read_requirement(fields: Fields, electorate: Electorate) -> Requirement:
    requirement = Requirement(
        fields.choice("action", Action),
        fields.text("source"),
        Rule.from_json(fields.take("rule"), fields.path("rule")),
        Electorate(
            electorate.roles,
            electorate.weights,
            frozenset(fields.unique_names("affected_owners")),
            frozenset(fields.unique_names("lineage_owners")),
            frozenset(fields.unique_names("stoppers")),
        ),
    )
    fields.end()
    return requirement


def _read_policy(fields: Fields, state: BoardState, enacted: Mapping[Digest, Policy]) -> None:
    name = parse_policy_name(fields.take("name"), what=fields.path("name"))
    versions = [_known(enacted, digest, "a policy") for digest in _digests(fields, "versions")]
    if not versions or any(policy.name != name for policy in versions):
        raise MalformedError(what=fields.path("versions"), detail=f"they are not of {name}")
    public = fields.object("public")
    state.policies[name] = versions
    state.public[name] = MappingProxyType(
        {secret: public.text(secret, limit=1 << 20) for secret in public.names()}
    )
    fields.end()
