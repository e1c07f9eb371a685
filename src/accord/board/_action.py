# SPDX-License-Identifier: Apache-2.0
"""The actions of a proposal: what each says, and what it makes of a charter."""

from __future__ import annotations

from dataclasses import dataclass

from accord.board._charter import Charter
from accord.board._constitution import Action, Constitution
from accord.board._member import Member
from accord.board._witness import WitnessPolicy
from accord.encoding import Digest, Fields, JSONValue
from accord.policy import AttestationVariant, Policy


@dataclass(frozen=True, slots=True)
class EnactPolicy:
    """A policy comes into force in place of its predecessor."""

    action = Action.POLICY_ENACT
    policy: Policy

    def to_json(self) -> JSONValue:
        return {"action": self.action.value, "policy": self.policy.to_json()}


@dataclass(frozen=True, slots=True)
class AddMember:
    """Somebody joins; until they sign something, nothing shows that they know."""

    action = Action.MEMBER_ADD
    member: Member

    def to_json(self) -> JSONValue:
        return {"action": self.action.value, "member": self.member.to_json()}

    def amend(self, charter: Charter) -> Charter:
        return charter.with_member(self.member, new=True)


@dataclass(frozen=True, slots=True)
class UpdateMember:
    """A member gets other keys, roles, weight, or another approval service."""

    action = Action.MEMBER_UPDATE
    member: Member

    def to_json(self) -> JSONValue:
        return {"action": self.action.value, "member": self.member.to_json()}

    def amend(self, charter: Charter) -> Charter:
        return charter.with_member(self.member, new=False)


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """A member leaves. What they offered can no longer be released; what they signed stays."""

    action = Action.MEMBER_REMOVE
    member: str

    def to_json(self) -> JSONValue:
        return {"action": self.action.value, "member": self.member}

    def amend(self, charter: Charter) -> Charter:
        return charter.without_member(self.member)


@dataclass(frozen=True, slots=True)
class ReplaceConstitution:
    """Other rules, from the next proposal on."""

    action = Action.CONSTITUTION_REPLACE
    constitution: Constitution

    def to_json(self) -> JSONValue:
        return {"action": self.action.value, "constitution": self.constitution.to_json()}

    def amend(self, charter: Charter) -> Charter:
        return charter.with_constitution(self.constitution)


@dataclass(frozen=True, slots=True)
class ReplaceService:
    """Other trust services are accepted, for instance the next version of this one."""

    action = Action.SERVICE_REPLACE
    service: tuple[AttestationVariant, ...]

    def to_json(self) -> JSONValue:
        variants = [variant.to_json() for variant in self.service]
        return {"action": self.action.value, "service": variants}

    def amend(self, charter: Charter) -> Charter:
        return charter.with_service(self.service)


@dataclass(frozen=True, slots=True)
class ReplaceWitnesses:
    """Other witnesses, or another quorum of them."""

    action = Action.WITNESSES_REPLACE
    witnesses: WitnessPolicy

    def to_json(self) -> JSONValue:
        return {"action": self.action.value, "witnesses": self.witnesses.to_json()}

    def amend(self, charter: Charter) -> Charter:
        return charter.with_witnesses(self.witnesses)


@dataclass(frozen=True, slots=True)
class ResumeExecution:
    """What a member stopped may go on."""

    action = Action.EXECUTION_RESUME
    stop: Digest

    def to_json(self) -> JSONValue:
        return {"action": self.action.value, "stop": self.stop}


Amendment = (
    AddMember
    | UpdateMember
    | RemoveMember
    | ReplaceConstitution
    | ReplaceService
    | ReplaceWitnesses
)
"""Actions that change the charter."""

ProposedAction = EnactPolicy | Amendment | ResumeExecution


def read_action(fields: Fields) -> ProposedAction:
    """Reads and ends ``fields``. Raises what reading the parts raises."""
    action = fields.choice("action", Action)
    read: ProposedAction
    match action:
        case Action.POLICY_ENACT:
            policy = Policy.from_json(fields.take("policy"), where=fields.path("policy"))
            read = EnactPolicy(policy)
        case Action.MEMBER_ADD:
            read = AddMember(Member.from_fields(fields.object("member")))
        case Action.MEMBER_UPDATE:
            read = UpdateMember(Member.from_fields(fields.object("member")))
        case Action.MEMBER_REMOVE:
            read = RemoveMember(fields.name("member"))
        case Action.CONSTITUTION_REPLACE:
            read = ReplaceConstitution(Constitution.from_fields(fields.object("constitution")))
        case Action.SERVICE_REPLACE:
            variants = fields.objects("service")
            read = ReplaceService(tuple(map(AttestationVariant.from_fields, variants)))
        case Action.WITNESSES_REPLACE:
            read = ReplaceWitnesses(WitnessPolicy.from_fields(fields.object("witnesses")))
        case Action.EXECUTION_RESUME:
            read = ResumeExecution(fields.digest("stop"))
    fields.end()
    return read
