# SPDX-License-Identifier: Apache-2.0
"""What a proposal needs: every rule of every one of its actions, and whom it affects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accord.board._action import (
    AcceptTag,
    AddMember,
    EnactPolicy,
    ProposedAction,
    RemoveMember,
    ReplaceWitnesses,
    ResolveFork,
    ResumeExecution,
    UpdateMember,
)
from accord.board._charter import Charter
from accord.board._constitution import Action, ActionRule, Constitution
from accord.board._execution import StopRecord
from accord.board._proposal import Enactment, Proposal
from accord.board._record import Requirement
from accord.errors import (
    ConstitutionError,
    EnactmentInvalidError,
    FreshnessError,
    NamespaceError,
    NotAMemberError,
    StaleStatementError,
    TagAcceptError,
    UnknownAssetError,
    UnknownStopError,
)
from accord.policy import (
    AFFECTED_OWNERS,
    AUTHORITY,
    PUBLIC_KINDS,
    Electorate,
    FreshnessMode,
    Policy,
    Rule,
    RuleKind,
    owner_of,
)

if TYPE_CHECKING:
    from accord.board._state import BoardState


@dataclass(frozen=True, slots=True)
class Needs:
    """What a proposal needs, as things stand."""

    requirements: tuple[Requirement, ...]
    """Every rule that it must satisfy, in the order of its actions."""

    vetoers: frozenset[str]
    """Members whose reject alone ends it."""

    notice_s: int
    voting_s: int | None


@dataclass(frozen=True, slots=True)
class _Judge:
    """A rule of the constitution that one action must satisfy, and whom it asks."""

    source: str
    rule: ActionRule
    electorate: Electorate


def needs(state: BoardState, proposal: Proposal) -> Needs:
    """What ``proposal`` needs on this board as it is now.

    Each action is checked against what the actions before it leave. Raises
    ``StaleStatementError``, ``UnknownAssetError``, ``NotAMemberError``, ``NamespaceError``,
    ``UnknownStopError``, ``ConstitutionError``, and what amending the charter raises.
    """
    charter, enacted = state.charter, dict[str, Policy]()
    needed, judges = list[Requirement](), list[_Judge]()
    for item in proposal.actions:
        before = charter
        if isinstance(item, EnactPolicy):
            _check_place(state, item.policy, enacted)
            _check_people(state, item.policy, members=charter.members)
        elif isinstance(item, ResumeExecution):
            _check_stop(state, item)
        elif isinstance(item, AcceptTag):
            _check_tag(state, item)
        elif not isinstance(item, ResolveFork):
            charter = item.amend(charter)
        asked = _judges(state, item, before)
        judges += asked
        needed += [
            Requirement(item.action, judge.source, judge.rule.approve, judge.electorate)
            for judge in asked
        ]
        if isinstance(item, EnactPolicy):
            needed += [
                Requirement(
                    item.action, f"policy {name}, access.{right}", extra, asked[0].electorate
                )
                for name, right, extra in _access_rules(state, item.policy, enacted)
            ]
            enacted[item.policy.name] = item.policy
    return Needs(
        tuple(needed),
        frozenset[str]().union(*(judge.rule.vetoers(judge.electorate) for judge in judges)),
        max(judge.rule.notice_s for judge in judges),
        min((s for judge in judges if (s := judge.rule.voting_s) is not None), default=None),
    )


def _judges(state: BoardState, item: ProposedAction, before: Charter) -> list[_Judge]:
    """The rules of the constitution in force for one action on the charter ``before``."""
    constitution = state.charter.constitution
    rule, electorate = constitution.rule(item.action), _electorate(state, item)
    if isinstance(item, ResumeExecution) and _nobody_left(state, rule.approve, electorate):
        enact = constitution.rule(Action.POLICY_ENACT)
        return [_Judge(f"constitution, {Action.POLICY_ENACT}", enact, owners_electorate(state))]
    judges = [_Judge("constitution", rule, electorate)]
    if isinstance(item, AcceptTag) and item.action not in constitution.rules:
        judges = [_Judge(f"constitution, {Action.POLICY_ENACT}", rule, electorate)]
        if electorate.affected_owners:
            judges.append(_Judge("whose data it holds", _OWNERS, electorate))
    if isinstance(item, UpdateMember):
        member = before.members[item.member.name]
        if replace(member, identity=item.member.identity) != item.member:
            action, extra = power_rule(constitution)
            judges.append(_Judge(f"constitution, {action}", extra, owners_electorate(state)))
    return judges


_OWNERS = ActionRule(Rule(RuleKind.EVERYONE, members=AFFECTED_OWNERS))


def _nobody_left(state: BoardState, rule: Rule, electorate: Electorate) -> bool:
    """Whether only a stopper could agree, who has left or has another key by now."""
    everybody = frozenset(state.members)
    return not electorate.stoppers and not rule.satisfied(everybody, electorate)


def power_rule(constitution: Constitution) -> tuple[Action, ActionRule]:
    """The rule that a member's roles, weight, approval service and environments need as well.

    Where a member may agree to its own new keys, it must not give itself more to say. Raises
    ``ConstitutionError`` where the constitution has no such rule: nothing but keys changes then.
    """
    for action in (Action.CONSTITUTION_REPLACE, Action.MEMBER_ADD):
        found = constitution.rules.get(action)
        if found is not None:
            return action, found
    raise ConstitutionError(
        where=Action.MEMBER_UPDATE.value,
        detail="more than keys needs a rule for constitution.replace or member.add",
    )


def is_current(state: BoardState, proposal: Proposal) -> bool:
    """Whether the board is still what ``proposal`` was written against."""
    enacted = dict[str, Policy]()
    try:
        for item in proposal.actions:
            if isinstance(item, EnactPolicy):
                _check_place(state, item.policy, enacted)
                enacted[item.policy.name] = item.policy
            elif isinstance(item, ResumeExecution):
                _check_stop(state, item)
            elif isinstance(item, AcceptTag):
                _check_tag(state, item)
    except (StaleStatementError, NamespaceError, UnknownStopError, TagAcceptError):
        return False
    return proposal.base == state.charter.digest


def _parent(state: BoardState, policy: Policy, enacted: Mapping[str, Policy]) -> Policy | None:
    name = policy.parent
    return None if name is None else enacted.get(name) or state.policy(name)


def _check_place(state: BoardState, policy: Policy, enacted: Mapping[str, Policy]) -> None:
    """That the policy follows the version in force, in the namespace as it is."""
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


def _check_people(state: BoardState, policy: Policy, *, members: Mapping[str, object]) -> None:
    """That what it uses was offered once, and that who reads its outputs is there."""
    for asset in sorted(policy.assets):
        if asset not in state.assets:
            raise UnknownAssetError(asset=asset)
    for reader in sorted(policy.readers - members.keys()):
        raise NotAMemberError(who=reader, board=state.genesis.name, detail="cannot read outputs")


def check_usable(state: BoardState, proposal: Proposal) -> None:
    """Refuses policies of which nothing could ever leave, as the proposal would leave the board.

    Those are templates that could not be filled in, and no freshness where there are witnesses.
    Asked once, before anybody votes: an exporter whose secret becomes of another kind later
    must not be able to keep a proposal of somebody else from being decided.
    Raises ``SecretFormatError`` or ``FreshnessError``.
    """
    replaced = any(isinstance(item, ReplaceWitnesses) for item in proposal.actions)
    for policy in proposal.policies:
        solo = policy.freshness is not None and policy.freshness.mode is FreshnessMode.SOLO
        # There is no way back to none, so it could only wait for a vote on another version.
        if solo and (replaced or state.charter.witnesses is not None):
            raise FreshnessError(policy=policy.name, mode=FreshnessMode.SOLO, board="has witnesses")
    proposed = {policy.name: policy for policy in proposal.policies}
    for policy in proposal.policies:
        names = {spec.policy for spec in policy.secrets.values() if spec.policy is not None}
        found = {name: proposed.get(name) or state.policy(name) for name in names}
        policy.check_imports({name: item for name, item in found.items() if item is not None})


def _check_stop(state: BoardState, item: ResumeExecution) -> None:
    record = state.stops.get(item.stop)
    if record is None or record.resumed:
        raise UnknownStopError(stop=item.stop)


def _check_tag(state: BoardState, item: AcceptTag) -> None:
    """That the volume is as the run that ``item`` names has left it: open.

    Whether that run still goes on is *not* asked: it may commit nothing more afterwards.
    """
    record = state.tags.get(item.name)
    if record is None:
        detail = "nobody has opened it"
    elif record.clean:
        detail = "it is not open"
    elif record.run != item.run:
        detail = f"{record.run} has opened it since"
    elif record.number != item.number:
        detail = f"commit {record.number} came since"
    else:
        return
    raise TagAcceptError(policy=item.policy, volume=item.volume, run=item.run, detail=detail)


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


def _electorate(state: BoardState, item: ProposedAction) -> Electorate:  # noqa: PLR0911 - a table
    match item:
        case EnactPolicy(policy):
            return _of_policy(state, policy)
        case AddMember(member):
            return _of_assets(state, (), owners=_who_named(state, member.name))
        case UpdateMember(member):
            owners = _who_named(state, member.name) | {member.name}
            return _of_assets(state, (), owners=owners)
        case RemoveMember(name):
            return _of_assets(state, (), owners=_who_named(state, name) | {name})
        case ResumeExecution(stop):
            return _of_stop(state, state.stops[stop])
        case AcceptTag():
            held = state.tags[item.name]
            return _of_assets(state, held.assets, owners=held.owners)
    return owners_electorate(state)


def owners_electorate(state: BoardState) -> Electorate:
    """Who sets the rules, or holds the keys, matters to every owner."""
    return _of_assets(state, state.assets)


def _of_policy(state: BoardState, policy: Policy) -> Electorate:
    owners = {owner_of(asset) for asset in policy.assets}
    lineage = _lineage(state, policy)
    needed = owners | lineage
    current = state.policy(policy.name)
    if current is not None:  # Whoever loses something is affected as well.
        owners |= {owner_of(asset) for asset in current.assets}
        lineage |= _lineage(state, current)
    for held in state.tags.values():  # Another version may read what its volumes hold.
        if held.policy == policy.name:
            owners |= set(map(owner_of, held.assets))
            lineage |= set(held.owners)
    return _whom(state, owners, lineage, needed=needed)


def _lineage(state: BoardState, policy: Policy) -> set[str]:
    """Owners of what a policy's assets were computed from: of the versions that it pins.

    What is on offer under the same name today may be something else.
    """
    inputs = [item for service in policy.services.values() for item in service.inputs]
    unpinned = policy.assets - {item.asset for item in inputs}
    found = [state.lineage.get(item.tag, frozenset()) for item in inputs]
    return set().union(*found, *map(state.lineage_of, unpinned))


def _who_named(state: BoardState, reader: str) -> set[str]:
    """Owners whose terms let a member of this name read: whom the name means matters to them."""
    return {
        record.offer.owner
        for record in state.assets.values()
        if not record.withdrawn and reader in record.offer.terms.readers
    }


def _of_stop(state: BoardState, record: StopRecord) -> Electorate:
    member = state.members.get(record.stop.member)
    here = member is not None and member.identity.verify_key.key_id == record.key
    asset = record.stop.scope.removeprefix("asset:")
    assets = [asset] if asset in state.assets else []
    stoppers = frozenset({record.stop.member}) if here else frozenset[str]()
    return replace(_of_assets(state, assets), stoppers=stoppers)


def _of_assets(
    state: BoardState, assets: Iterable[str], *, owners: Iterable[str] = ()
) -> Electorate:
    listed = list(assets)
    affected = {*owners, *map(owner_of, listed)}
    return _whom(state, affected, set[str]().union(*map(state.lineage_of, listed)))


def _whom(
    state: BoardState, owners: set[str], lineage: set[str], *, needed: Iterable[str] = ()
) -> Electorate:
    # Whoever has left cannot be asked, and holds up nothing but the use of what was theirs.
    here = {*state.members, *needed}
    return Electorate(
        roles=state.charter.roles,
        weights=state.charter.weights,
        affected_owners=frozenset(owners & here),
        lineage_owners=frozenset((owners | lineage) & here),
    )


def check_public(enactment: Enactment, policies: Mapping[str, Policy]) -> None:
    """Nothing else may be shown, and of what is for everybody nothing less.

    A key that only some get to see could be another one for each of them; a secret that
    everybody sees is none. Raises ``EnactmentInvalidError``.
    """
    for name in policies.keys() | enactment.public.keys():
        policy = policies.get(name)
        if policy is None or _public_parts(policy) != enactment.public.get(name, {}).keys():
            raise EnactmentInvalidError(proposal=enactment.proposal, policy=name)


def _public_parts(policy: Policy) -> set[str]:
    parts = {name for name, spec in policy.secrets.items() if spec.kind in PUBLIC_KINDS}
    return {*parts, AUTHORITY} if policy.authority else parts
