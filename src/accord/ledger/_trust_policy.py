# SPDX-License-Identifier: Apache-2.0
"""Whose signatures make a checkpoint believed (c2sp.org/tlog-policy)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from accord.errors import MalformedError, QuorumMissingError, SignatureInvalidError, TooLargeError
from accord.identity import VerifyKey
from accord.ledger._checkpoint import Checkpoint, verify_checkpoint
from accord.ledger._cosignature import cosignatures, cosigner_vkey, parse_cosigner_vkey
from accord.ledger._note import key_id, parse_vkey, split_note, vkey

MAX_POLICY_CHARACTERS = 1 << 17
"""Largest policy; the standard asks for 32 logs, witnesses and groups."""

_NONE = "none"
_QUORUM = "quorum:groups"
_WHAT = "tlog-policy"
_WHITE_SPACE = re.compile(r"[ \t]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_THRESHOLD = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class PolicyKey:
    """A log or a witness: the name in its signature lines, its key, and where it is."""

    name: str
    key: VerifyKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """Counts as a witness where ``threshold`` of its members, witnesses or groups, do."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Logs, witnesses and groups by their names in the policy; which of these is the quorum."""

    logs: tuple[PolicyKey, ...]
    witnesses: Mapping[str, PolicyKey]
    groups: Mapping[str, PolicyGroup]
    """The members of each stand before it, and no name is a member twice."""

    quorum: str | None
    """``None`` where the policy asks for no cosignature at all."""

    @classmethod
    def of_groups(
        cls,
        *,
        logs: Sequence[PolicyKey],
        groups: Mapping[str, Sequence[PolicyKey]],
        quorum: int,
    ) -> TrustPolicy:
        """``quorum`` of the groups, each of which any of its witnesses speaks for."""
        members = {name: tuple(f"witness:{each.name}" for each in groups[name]) for name in groups}
        each = {f"group:{name}": PolicyGroup(1, members[name]) for name in sorted(members)}
        return cls(
            tuple(logs),
            {f"witness:{key.name}": key for name in sorted(groups) for key in groups[name]},
            {**each, _QUORUM: PolicyGroup(quorum, tuple(each))},
            _QUORUM,
        )

    def reached(self, cosigned: Collection[str]) -> bool:
        """Whether those called ``cosigned`` in signature lines are a quorum.

        That they cosigned is *not* checked here: see `verify`.
        """
        if self.quorum is None:
            return True
        seen = {name for name, each in self.witnesses.items() if each.name in cosigned}
        for name, group in self.groups.items():
            if len(seen.intersection(group.members)) >= group.threshold:
                seen.add(name)
        return self.quorum in seen

    def verify(self, note: bytes, *, origin: str) -> Checkpoint:
        """The checkpoint of ``origin`` in ``note``, if a log signed it and a quorum cosigned.

        Raises ``QuorumMissingError``, or what `verify_checkpoint` and `cosignatures` raise.
        """
        _, lines = split_note(note, what="checkpoint")
        signed = {(line.name, line.key_id) for line in lines}
        for log in self.logs:
            if (log.name, key_id(log.name, log.key)) not in signed:
                continue
            checkpoint = verify_checkpoint(note, origin=origin, name=log.name, key=log.key)
            keys = {each.name: each.key for each in self.witnesses.values()}
            cosigned = cosignatures(note, keys)
            if not self.reached(cosigned):
                found = " and ".join(sorted(cosigned)) or "nobody"
                raise QuorumMissingError(origin=origin, found=found, quorum=self.quorum)
            return checkpoint
        raise SignatureInvalidError(what="checkpoint", expected="a log of the policy")


def policy_text(policy: TrustPolicy) -> str:
    """The policy as a file. Raises ``MalformedError`` where that could not be read back."""
    lines = [_line("log", vkey(log.name, log.key), log.url) for log in policy.logs]
    for name, key in policy.witnesses.items():
        lines.append(_line("witness", name, cosigner_vkey(key.name, key.key), key.url))
    for name, group in policy.groups.items():
        lines.append(_line("group", name, str(group.threshold), *group.members))
    lines.append(_line("quorum", policy.quorum or _NONE))
    text = "".join(lines)
    if parse_policy_text(text) != policy:
        raise MalformedError(what=_WHAT, detail="a name or an address holds white space")
    return text


def parse_policy_text(text: str) -> TrustPolicy:
    """Reads a policy. Raises ``TooLargeError`` or ``MalformedError``."""
    if len(text) > MAX_POLICY_CHARACTERS:
        raise TooLargeError(what=_WHAT, limit=MAX_POLICY_CHARACTERS)
    if _CONTROL.search(text):
        raise MalformedError(what=_WHAT, detail="holds a control character")
    if text and not text.endswith("\n"):
        raise MalformedError(what=_WHAT, detail="its last line has no newline")
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        # Spaces and tabs only: no white space of other alphabets.
        words = [word for word in _WHITE_SPACE.split(line) if word]
        if words and not words[0].startswith("#"):
            reader.read(words, where=f"{_WHAT}, line {number}")
    return reader.end()


class _Reader:
    """What has been defined so far."""

    def __init__(self) -> None:
        self._logs: list[PolicyKey] = []
        self._witnesses: dict[str, PolicyKey] = {}
        self._groups: dict[str, PolicyGroup] = {}
        self._members: set[str] = set()
        self._quorum: list[str] = []

    def read(self, words: list[str], *, where: str) -> None:
        match words:
            case ["log", text, *url] if len(url) <= 1:
                self._log(PolicyKey(*parse_vkey(text), *url), where)
            case ["witness", name, text, *url] if len(url) <= 1:
                self._witness(name, PolicyKey(*parse_cosigner_vkey(text), *url), where)
            case ["group", name, threshold, *members] if members:
                self._group(name, threshold, tuple(members), where)
            case ["quorum", name]:
                if name != _NONE:
                    self._defined(name, where)
                self._quorum.append(name)
            case _:
                raise MalformedError(what=where, detail="not a log, witness, group or quorum line")

    def end(self) -> TrustPolicy:
        if len(self._quorum) != 1:
            detail = f"expected one quorum line, found {len(self._quorum)}"
            raise MalformedError(what=_WHAT, detail=detail)
        quorum = None if self._quorum == [_NONE] else self._quorum[0]
        return TrustPolicy(tuple(self._logs), self._witnesses, self._groups, quorum)

    def _log(self, log: PolicyKey, where: str) -> None:
        if log.key in {each.key for each in self._logs}:
            raise MalformedError(what=where, detail="two logs have this key")
        self._logs.append(log)

    def _witness(self, name: str, witness: PolicyKey, where: str) -> None:
        self._free(name, where)
        # Stricter than the standard in the second point: signature lines are found by the name.
        for what in ("key", "name"):
            if getattr(witness, what) in {getattr(e, what) for e in self._witnesses.values()}:
                raise MalformedError(what=where, detail=f"two witnesses have this {what}")
        self._witnesses[name] = witness

    def _group(self, name: str, threshold: str, members: tuple[str, ...], where: str) -> None:
        self._free(name, where)
        for member in members:
            self._defined(member, where)
            # "Each defined name can be listed as a group member at most once."
            if member in self._members:
                raise MalformedError(what=where, detail=f"{member} is a member already")
            self._members.add(member)
        words = {"any": 1, "all": len(members)}
        if threshold not in words and not _THRESHOLD.fullmatch(threshold):
            raise MalformedError(what=where, detail="its threshold is not all, any or a number")
        number = words[threshold] if threshold in words else int(threshold)
        if number > len(members):
            raise MalformedError(what=where, detail=f"{number} of {len(members)} is too many")
        self._groups[name] = PolicyGroup(number, members)

    def _free(self, name: str, where: str) -> None:
        if name == _NONE or name in self._witnesses or name in self._groups:
            raise MalformedError(what=where, detail=f"{name} is defined already")

    def _defined(self, name: str, where: str) -> None:
        if name not in self._witnesses and name not in self._groups:
            raise MalformedError(what=where, detail=f"{name} is not defined above")


def _line(*words: str | None) -> str:
    return " ".join(word for word in words if word is not None) + "\n"
