# SPDX-License-Identifier: Apache-2.0
"""The actions of a proposal: what each says, and what it makes of a charter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from accord.board._charter import Charter
from accord.board._constitution import Action, Constitution
from accord.board._member import Member
from accord.board._recovery_plan import MAX_HOLDERS
from accord.board._tag import tag_name
from accord.board._witness import WitnessPolicy
from accord.encoding import Digest, Fields, JSONValue, base64_encode
from accord.errors import MalformedError
from accord.policy import AttestationVariant, Policy, parse_policy_name


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
class RotateKeys:
    """A new root secret, in new shares; the old ones open no later backup."""

    action = Action.KEYS_ROTATE
    threshold: int

    def to_json(self) -> JSONValue:
        return {"action": self.action.value, "threshold": self.threshold}

    def amend(self, charter: Charter) -> Charter:
        return charter.with_recovery(self.threshold)


@dataclass(frozen=True, slots=True)
class ResumeExecution:
    """What a member stopped may go on."""

    action = Action.EXECUTION_RESUME
    stop: Digest

    def to_json(self) -> JSONValue:
        return {"action": self.action.value, "stop": self.stop}


@dataclass(frozen=True, slots=True)
class ForkHead:
    """Where one of two histories had come to."""

    size: int
    root: bytes

    @classmethod
    def from_fields(cls, fields: Fields) -> ForkHead:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        head = cls(fields.integer("size", minimum=1), fields.data("root", size=32))
        fields.end()
        return head

    def to_json(self) -> JSONValue:
        return {"size": self.size, "root": base64_encode(self.root)}


@dataclass(frozen=True, slots=True)
class ResolveFork:
    """Of two histories one goes on, under a new name of the log; the other one is abandoned.

    Whether the log that says so is the survivor is *not* known here: who cosigns it looks.
    """

    action = Action.LOG_FORK_RESOLVE
    survivor: ForkHead
    abandoned: ForkHead

    def to_json(self) -> JSONValue:
        return {
            "action": self.action.value,
            "survivor": self.survivor.to_json(),
            "abandoned": self.abandoned.to_json(),
        }


@dataclass(frozen=True, slots=True)
class AcceptTag:
    """A live volume that a run left open goes on from this tag; that run may not write any more."""

    action = Action.TAG_ACCEPT
    policy: str
    volume: str
    run: str
    """The run that left it open: another one's unclean exit needs another vote."""

    number: int
    """That of its latest commit as the voters saw it: a later one is not undone by a late vote."""

    tag: Digest | None
    """``None``: it starts empty."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """Reads ``fields`` up to their end."""
        return cls(
            parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            fields.name("volume"),
            fields.name("run"),
            fields.integer("number", minimum=0),
            fields.optional("tag", fields.digest),
        )

    @property
    def name(self) -> str:
        """What the board calls the volume."""
        return tag_name(self.policy, self.volume)

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "action": self.action.value,
            "policy": self.policy,
            "volume": self.volume,
            "run": self.run,
            "number": self.number,
        }
        return document if self.tag is None else {**document, "tag": self.tag}


Amendment = (
    AddMember
    | UpdateMember
    | RemoveMember
    | ReplaceConstitution
    | ReplaceService
    | ReplaceWitnesses
    | RotateKeys
)
"""Actions that change the charter."""

ProposedAction = EnactPolicy | Amendment | ResumeExecution | ResolveFork | AcceptTag


def read_action(fields: Fields) -> ProposedAction:  # noqa: C901 - one case for each action
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
        case Action.KEYS_ROTATE:
            read = RotateKeys(fields.integer("threshold", minimum=2, maximum=MAX_HOLDERS))
        case Action.RECOVERY_OPEN:
            raise MalformedError(
                what=fields.path("action"), detail="nobody proposes it: see `accord recovery`"
            )
        case Action.LOG_FORK_RESOLVE:
            heads = (fields.object("survivor"), fields.object("abandoned"))
            read = ResolveFork(*map(ForkHead.from_fields, heads))
        case Action.TAG_ACCEPT:
            read = AcceptTag.read(fields)
        case Action.EXECUTION_RESUME:
            read = ResumeExecution(fields.digest("stop"))
    fields.end()
    return read
