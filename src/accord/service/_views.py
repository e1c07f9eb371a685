# SPDX-License-Identifier: Apache-2.0
"""What the HTTP interface shows of a board, as JSON. Members replay the log and need none of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from accord.board import BoardState, ProposalRecord, StopRecord
from accord.encoding import Digest, JSONValue, format_time
from accord.policy import ANYONE, Access, Policy
from accord.release import RunRecord
from accord.service._host import BoardHost
from accord.service._moved import HANDED_OVER, successor


def may_read(access: Access, key: Digest | None) -> bool:
    """Whether somebody who is no member may read the policy; ``key`` is theirs, if any."""
    return ANYONE in access.read or (key is not None and f"key:{key}" in access.read)


def may_list(access: Access, key: Digest | None) -> bool:
    """Whether somebody who is no member may see that the policy exists."""
    return ANYONE in access.list or (key is not None and f"key:{key}" in access.list)


def view_status(host: BoardHost) -> JSONValue:
    """The board in numbers, and how it stands with its witnesses."""
    machine, state = host.machine, host.machine.board
    return {
        "board": state.board,
        "name": state.genesis.name,
        "charter": state.charter.digest,
        "log_key": machine.log_key.key_id if machine.log_key else None,
        "entries": host.head.size,
        "starts": len(machine.started),
        "members": len(state.members),
        "policies": len(state.policies),
        "open_proposals": len(state.open_proposals),
        "assets": len(state.assets),
        "stops": len(state.live_stops()),
        "releases": len(machine.runs),
        "freshness": view_freshness(host),
    }


def view_freshness(host: BoardHost) -> JSONValue:
    """Who has seen how much of the log; of a fork, both heads as they were signed."""
    policy, cosigning = host.machine.board.charter.witnesses, host.cosigning
    if policy is None:
        return {"state": _state(host)}
    peers = {peer.witness: peer for peer in cosigning.peers}
    fork = cosigning.fork
    return {
        "state": _state(host),
        "quorum": policy.quorum,
        "faulty": policy.faulty,
        "groups": len(policy.groups),
        "cosigned": cosigning.size,
        "generation": host.machine.board.generation(),
        "witnesses": [
            {
                "name": witness.name,
                "group": witness.group,
                "state": peers[witness].state if witness in peers else "not asked",
                "cosigned": peers[witness].cosigned if witness in peers else 0,
            }
            for witness in policy.witnesses
        ],
        "fork": None if fork is None else fork.to_json(),
    }


def _state(host: BoardHost) -> str:
    return host.freshness if successor(host) is None else HANDED_OVER


def view_members(state: BoardState) -> JSONValue:
    """Who votes, and with what weight."""
    members = [member.to_json() for _, member in sorted(state.members.items())]
    return {"charter": state.charter.digest, "members": members}


def view_constitution(state: BoardState) -> JSONValue:
    """The rules in force, and the trust services that the board accepts."""
    charter = state.charter
    return {
        "charter": charter.digest,
        "constitution": charter.constitution.to_json(),
        "service": [variant.to_json() for variant in charter.service],
    }


def view_proposal(state: BoardState, record: ProposalRecord, now: datetime) -> dict[str, JSONValue]:
    """What a proposal is about, and where it stands."""
    proposal = record.proposal
    return {
        "proposal": record.id,
        "index": state.recorded[record.id],
        "title": proposal.title,
        "author": proposal.author,
        "base": proposal.base,
        "actions": [item.action.value for item in proposal.actions],
        "policies": [{"name": item.name, "digest": item.digest} for item in proposal.policies],
        "status": state.status(record, now).value,
        "expires": format_time(proposal.expires),
        "notice_s": record.notice_s,
        "approved_at": format_time(record.approved_at) if record.approved_at else None,
        "approved": sorted(record.approvals),
        "rejected": sorted(record.rejections),
        "missing": list(state.missing(record)),
    }


def view_whole_proposal(state: BoardState, record: ProposalRecord, now: datetime) -> JSONValue:
    """`view_proposal` with the document itself, each rule, and the votes."""
    return {
        **view_proposal(state, record, now),
        "document": record.proposal.to_json(),
        "rules": [
            {
                "action": item.action.value,
                "source": item.source,
                "rule": item.rule.to_json(),
                "missing": list(item.rule.missing(record.approvals, item.electorate)),
            }
            for item in state.judged(record).requirements
        ],
        "ballots": [ballot.to_json() for _, ballot in sorted(record.ballots.items())],
    }


def view_listed_policy(versions: list[Policy]) -> JSONValue:
    """That a policy exists."""
    return {"name": versions[-1].name, "digest": versions[-1].digest, "versions": len(versions)}


def view_policy(versions: list[Policy], policy: Policy) -> JSONValue:
    """One version of a policy, and the digests of all, oldest first."""
    return {
        "name": policy.name,
        "digest": policy.digest,
        "in_force": policy is versions[-1],
        "versions": [version.digest for version in versions],
        "policy": policy.to_json(),
    }


def view_secrets(policy: Policy) -> JSONValue:
    """Which secrets a policy has, from where, and for whom else; never a value."""
    return {
        "policy": policy.name,
        "digest": policy.digest,
        "authority": policy.authority,
        "secrets": {name: spec.to_json() for name, spec in policy.secrets.items()},
        "exports": [export.to_json() for export in policy.exports],
    }


def view_public(
    policy: Policy, parts: Mapping[str, str], *, only_exported: bool
) -> dict[str, JSONValue]:
    """Certificates and public keys; on request only those that the policy exports to the public."""
    exported = {export.secret for export in policy.exports if export.is_public}
    shown = {name: text for name, text in parts.items() if name in exported or not only_exported}
    return {"policy": policy.name, "digest": policy.digest, "public": shown}


def view_stop(id_: Digest, record: StopRecord) -> JSONValue:
    """What a member stopped, and whether it goes on."""
    return {
        "stop": id_,
        "index": record.index,
        "member": record.stop.member,
        "scope": record.stop.scope,
        "reason": record.stop.reason,
        "time": format_time(record.stop.time),
        "resumed": record.resumed,
    }


def view_release(record: RunRecord) -> JSONValue:
    """What was released to whom, and how the run ended."""
    release, statement = record.release, record.statement
    return {
        "run": release.run,
        "index": record.index,
        "policy": release.policy,
        "policy_digest": release.policy_digest,
        "service": release.service,
        "assurance": release.assurance.value,
        "channel": release.channel.value,
        "evidence": release.evidence,
        "uses": [use.to_json() for use in release.uses],
        "secrets": [use.to_json() for use in release.secrets],
        "lease_until": format_time(record.lease_until) if record.lease_until else None,
        "outcome": statement.outcome.value if statement else None,
    }
