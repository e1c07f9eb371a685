# SPDX-License-Identifier: Apache-2.0
"""What a proposal needs: every rule of every one of its actions, and whom it affects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from accord.board._action import (
    AddMember,
    EnactPolicy,
    ProposedAction,
    RemoveMember,
    ResumeExecution,
    UpdateMember,
)
from accord.board._constitution import ActionRule
from accord.board._proposal import Proposal
from accord.board._record import Requirement
from accord.errors import (
    NamespaceError,
    NotAMemberError,
    StaleStatementError,
    UnknownAssetError,
    UnknownStopError,
)
from accord.policy import Electorate, Policy, Rule

if TYPE_CHECKING:
    from accord.board._state import BoardState


def owner_of(asset: str) -> str:
    return asset.partition("/")[0]


def requirements(state: BoardState, proposal: Proposal) -> tuple[Requirement, ...]:
    """Every rule that ``proposal`` must satisfy on this board, in the order of its actions.

    Each action is checked against what the actions before it leave. Raises
    ``StaleStatementError``, ``UnknownAssetError``, ``NotAMemberError``, ``NamespaceError``,
    ``UnknownStopError``, and what amending the charter raises.
    """
    charter, enacted = state.charter, dict[str, Policy]()
    needed = []
    for item in proposal.actions:
        if isinstance(item, EnactPolicy):
            _check_policy(state, item.policy, enacted, members=charter.members)
        elif isinstance(item, ResumeExecution):
            _check_stop(state, item)
        else:
            charter = item.amend(charter)
        electorate = _electorate(state, item)
        rule = state.charter.constitution.rule(item.action)
        needed.append(Requirement(item.action, "constitution", rule.approve, electorate))
        if isinstance(item, EnactPolicy):
            needed += [
                Requirement(item.action, f"policy {name}, access.{right}", extra, electorate)
                for name, right, extra in _access_rules(state, item.policy, enacted)
            ]
            enacted[item.policy.name] = item.policy
    return tuple(needed)


def action_rules(state: BoardState, proposal: Proposal) -> tuple[ActionRule, ...]:
    """The constitution's rule of each action."""
    return tuple(state.charter.constitution.rule(item.action) for item in proposal.actions)


def vetoers(state: BoardState, proposal: Proposal) -> frozenset[str]:
    """Members whose reject alone ends ``proposal``."""
    found = (
        rule.vetoers(_electorate(state, item))
        for item, rule in zip(proposal.actions, action_rules(state, proposal), strict=True)
    )
    return frozenset[str]().union(*found)


def is_current(state: BoardState, proposal: Proposal) -> bool:
    """Whether the board is still what ``proposal`` was written against."""
    if proposal.base != state.charter.digest:
        return False
    enacted = dict[str, Policy]()
    for item in proposal.actions:
        if isinstance(item, EnactPolicy):
            if not _fits(state, item.policy, enacted):
                return False
            enacted[item.policy.name] = item.policy
        elif isinstance(item, ResumeExecution):
            record = state.stops.get(item.stop)
            if record is None or record.resumed:
                return False
    return True


def _fits(state: BoardState, policy: Policy, enacted: Mapping[str, Policy]) -> bool:
    current = enacted.get(policy.name) or state.policy(policy.name)
    if policy.predecessor != (current.digest if current else None):
        return False
    if policy.namespace is None:
        return True
    parent = _parent(state, policy, enacted)
    return parent is not None and parent.digest == policy.namespace


def _parent(state: BoardState, policy: Policy, enacted: Mapping[str, Policy]) -> Policy | None:
    name = policy.parent
    return None if name is None else enacted.get(name) or state.policy(name)


def _check_policy(
    state: BoardState,
    policy: Policy,
    enacted: Mapping[str, Policy],
    *,
    members: Mapping[str, object],
) -> None:
    current = enacted.get(policy.name) or state.policy(policy.name)
    head = current.digest if current else None
    if policy.predecessor != head:
        raise StaleStatementError(
            what=f"policy {policy.name}", found=policy.predecessor, expected=head
        )
    if policy.namespace is not None:
        parent = _parent(state, policy, enacted)
        if parent is None:
            raise NamespaceError(policy=policy.name, detail=f"there is no policy {policy.parent}")
        if parent.digest != policy.namespace:
            raise NamespaceError(policy=policy.name, detail=f"{parent.name} is another version")
    for asset in sorted(policy.assets):
        if asset not in state.assets:
            raise UnknownAssetError(asset=asset)
    for reader in sorted(policy.readers - members.keys()):
        raise NotAMemberError(who=reader, board=state.genesis.name, detail="cannot read outputs")


def _check_stop(state: BoardState, item: ResumeExecution) -> None:
    record = state.stops.get(item.stop)
    if record is None or record.resumed:
        raise UnknownStopError(stop=item.stop)


def _access_rules(
    state: BoardState, policy: Policy, enacted: Mapping[str, Policy]
) -> list[tuple[str, str, Rule]]:
    """The rules of the policy in force, or of the parent; a policy cannot judge itself."""
    current = state.policy(policy.name)
    if current is not None:
        judge, right, rule = current, "update", current.access.update
    else:
        parent = _parent(state, policy, {}) or _parent(state, policy, enacted)
        if parent is None:
            return []
        judge, right, rule = parent, "create", parent.access.create
    return [(judge.name, right, rule)] if rule is not None else []


def _electorate(state: BoardState, item: ProposedAction) -> Electorate:
    assets: set[str] = set()
    owners: set[str] = set()
    stoppers: set[str] = set()
    needed: set[str] = set()
    match item:
        case EnactPolicy(policy):
            needed = {owner_of(asset) for asset in policy.assets}
            needed = needed.union(*(state.lineage_of(asset) for asset in policy.assets))
            assets |= policy.assets
            current = state.policy(policy.name)
            if current is not None:  # Whoever loses something is affected as well.
                assets |= current.assets
        case AddMember():
            pass
        case UpdateMember(member):
            owners.add(member.name)
        case RemoveMember(name):
            owners.add(name)
        case ResumeExecution(stop):
            record = state.stops[stop]
            stoppers.add(record.stop.member)
            assets |= {name for name in state.assets if record.stop.scope == f"asset:{name}"}
        case _:  # Who sets the rules, or holds the keys, matters to every owner.
            assets |= state.assets.keys()
    owners |= {owner_of(asset) for asset in assets}
    lineage = owners.union(*(state.lineage_of(asset) for asset in assets))
    # Whoever has left cannot be asked, and holds up nothing but the use of what was theirs.
    here = state.members.keys() | needed
    return Electorate(
        roles=state.charter.roles,
        weights=state.charter.weights,
        affected_owners=frozenset(owners & here),
        lineage_owners=frozenset(lineage & here),
        stoppers=frozenset(stoppers),
    )
