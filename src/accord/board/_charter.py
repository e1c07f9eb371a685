# SPDX-License-Identifier: Apache-2.0
"""The charter: who belongs to the board, by which rules, and which trust service serves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from accord.board._constitution import Action, Constitution
from accord.board._member import Member
from accord.board._recovery_plan import RecoveryPlan
from accord.board._witness import WitnessPolicy
from accord.encoding import Digest, JSONValue, canonical_json, sha256
from accord.errors import ConstitutionError, GenesisError
from accord.identity import VerifyKey
from accord.policy import AttestationVariant, Electorate

MAX_MEMBERS = 256


@dataclass(frozen=True)
class Charter:
    """What a board can change about itself. The first one is in the genesis."""

    members: Mapping[str, Member]
    constitution: Constitution
    service: tuple[AttestationVariant, ...]
    """Which trust services the board accepts."""

    witnesses: WitnessPolicy | None = None
    """Who must have seen the log before anything leaves; ``None``: nobody (solo)."""

    recovery: RecoveryPlan | None = None
    """Who can bring the board back on another machine; ``None``: nobody."""

    @cached_property
    def digest(self) -> Digest:
        """What proposals are bound to: votes are given knowing who else votes, and how."""
        return sha256(canonical_json(self.to_json()))

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "members": [member.to_json() for _, member in sorted(self.members.items())],
            "constitution": self.constitution.to_json(),
            "service": [variant.to_json() for variant in self.service],
        }
        if self.witnesses is not None:
            document["witnesses"] = self.witnesses.to_json()
        if self.recovery is not None:
            document["recovery"] = self.recovery.to_json()
        return document

    @cached_property
    def roles(self) -> Mapping[str, frozenset[str]]:
        return {name: member.roles for name, member in self.members.items()}

    @cached_property
    def weights(self) -> Mapping[str, int]:
        return {name: member.weight for name, member in self.members.items()}

    @cached_property
    def keys(self) -> Mapping[Digest, VerifyKey]:
        """The members' keys, by key id."""
        keys = [member.identity.verify_key for member in self.members.values()]
        return {key.key_id: key for key in keys}

    def check(self) -> None:
        """Raises ``GenesisError`` or ``ConstitutionError`` for one that could not work."""
        listed = list(self.members.values())
        for what, values in (
            ("key", [member.identity.verify_key.raw for member in listed]),
            ("sealing key", [member.identity.seal_key.raw for member in listed]),
        ):
            if len(set(values)) != len(values):
                raise GenesisError(detail=f"two members have the same {what}")
        if not listed:
            raise GenesisError(detail="there is no member")
        if len(listed) > MAX_MEMBERS:
            raise GenesisError(detail=f"there are more than {MAX_MEMBERS} members")
        if not self.service:
            raise GenesisError(detail="there is no acceptable trust service")
        voters = {member.identity.verify_key for member in listed}
        if self.witnesses and not voters.isdisjoint(w.key for w in self.witnesses.witnesses):
            raise GenesisError(detail="a member's key is a witness's as well")
        if self.recovery is not None:
            self.recovery.check(len(listed))
        self.check_rules()

    def check_rules(self) -> None:
        """Raises ``ConstitutionError`` where the members together could not satisfy a rule."""
        everybody = frozenset(self.members)
        self.constitution.check(
            Electorate(self.roles, self.weights, everybody, everybody, everybody)
        )

    def with_member(self, member: Member, *, new: bool) -> Charter:
        """The charter with a member added or, if not ``new``, changed.

        Raises ``ConstitutionError`` where the name is taken, or unknown, and what `check` raises.
        """
        if (member.name in self.members) is new:
            state = "a member already" if new else "no member"
            raise ConstitutionError(where="members", detail=f"{member.name} is {state}")
        members = {**self.members, member.name: member}
        return self._checked(replace(self, members=MappingProxyType(members)))

    def without_member(self, name: str) -> Charter:
        """The charter without a member. Raises ``ConstitutionError`` and what `check` raises."""
        if name not in self.members:
            raise ConstitutionError(where="members", detail=f"{name} is no member")
        members = {other: member for other, member in self.members.items() if other != name}
        return self._checked(replace(self, members=MappingProxyType(members)))

    def with_constitution(self, constitution: Constitution) -> Charter:
        """The charter under other rules, which must be changeable where these are.

        Raises ``ConstitutionError`` and what `check` raises.
        """
        action = Action.CONSTITUTION_REPLACE
        if action in self.constitution.rules and action not in constitution.rules:
            raise ConstitutionError(where=action.value, detail="it could never be changed again")
        return self._checked(replace(self, constitution=constitution))

    def with_service(self, service: tuple[AttestationVariant, ...]) -> Charter:
        """The charter with other trust services. Raises what `check` raises."""
        return self._checked(replace(self, service=service))

    def with_witnesses(self, witnesses: WitnessPolicy) -> Charter:
        """The charter with other witnesses; there is no way back to none.

        Raises what `check` raises.
        """
        return self._checked(replace(self, witnesses=witnesses))

    def with_recovery(self, threshold: int) -> Charter:
        """The charter with new shares of a new root secret. Raises what `check` raises."""
        epoch = 1 if self.recovery is None else self.recovery.epoch + 1
        return self._checked(replace(self, recovery=RecoveryPlan(threshold, epoch)))

    @staticmethod
    def _checked(charter: Charter) -> Charter:
        charter.check()
        return charter
