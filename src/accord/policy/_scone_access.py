# SPDX-License-Identifier: Apache-2.0
"""The access policy of a SCONE session, as readers and rules."""

from __future__ import annotations

import itertools
import math
import re

from accord.encoding import JSONValue
from accord.policy._scone_source import Remarks, Source, shown

MAX_COMBINATIONS = 64
"""Most ways that a counted rule is written out in; more could not be read by anybody."""

_AT_LEAST = re.compile(r"require-at-least-([1-9][0-9]{0,3})")

Document = dict[str, JSONValue]


def convert_access(source: Source) -> Document:
    """The mapping ``access``; members of the board read every policy anyway."""
    access: Document = {}
    for right, ours in (("read", "read"), ("list_sessions", "list")):
        readers = _readers(source, right)
        if readers is not None:
            access[ours] = readers
    signers: dict[str, str] = {}
    for right, ours in (("update", "update"), ("create_sessions", "create")):
        entries = list(source.items(right))
        rules = [
            rule for where, item in entries if (rule := _rule(item, where, source.remarks, signers))
        ]
        if len(rules) == 1:
            access[ours] = rules[0]
        elif rules:
            access[ours] = {"any": rules}
    source.rest()
    return access


def _readers(source: Source, right: str) -> list[JSONValue] | None:
    found: list[JSONValue] = []
    entries = list(source.items(right))
    for where, item in entries:
        match item:
            case "ANY":
                found.append("anyone")
            case "CREATOR":
                source.remarks.note(where, "the members of the board read every policy")
            case "NONE":
                pass
            case _:
                source.remarks.miss(
                    where, "name the reader by the id of an Accord key: `key:DIGEST`"
                )
    return found if entries else None


def _rule(item: JSONValue, where: str, remarks: Remarks, signers: dict[str, str]) -> JSONValue:
    """One rule, or nothing where only the constitution is left to decide."""
    if isinstance(item, dict) and len(item) == 1:
        [(kind, below)] = item.items()
        if kind == "signer":
            return _signer(str(below), where, remarks, signers)
        counted = _AT_LEAST.fullmatch(str(kind))
        if isinstance(below, list) and (counted or kind == "require-all"):
            rules = [
                _rule(inner, f"{where}.{kind}[{index}]", remarks, signers)
                for index, inner in enumerate(below)
            ]
            needed = int(counted[1]) if counted else len(rules)
            return _counted([rule for rule in rules if rule], needed, where, remarks)
    match item:
        case "CREATOR":
            remarks.note(where, "the constitution decides; name yourself with `member:NAME`")
        case "ANY":
            remarks.note(where, "the constitution decides, and no rule is added to it")
        case "NONE":
            remarks.miss(where, "no policy is immutable; the constitution decides")
        case str():
            return _signer(item, where, remarks, signers)
        case _:
            remarks.miss(where, "is not understood")
    return None


def _signer(key: str, where: str, remarks: Remarks, signers: dict[str, str]) -> str:
    known = key in signers
    name = signers.setdefault(key, f"signer-{len(signers) + 1}")
    if not known:
        remarks.miss(where, f"write the member who is meant instead of {name}: key {shown(key)}")
    return f"member:{name}"


def _counted(rules: list[JSONValue], needed: int, where: str, remarks: Remarks) -> JSONValue:
    """So many of the rules, written out: a count here is one of members, not of rules."""
    ways = math.comb(len(rules), needed)
    if not 1 <= ways <= MAX_COMBINATIONS:
        remarks.miss(where, "give those who are meant a role, and count it with `at_least`")
        return None
    if needed == 1:
        return {"any": rules}
    written: list[JSONValue] = [
        {"all": list(chosen)} for chosen in itertools.combinations(rules, needed)
    ]
    return written[0] if ways == 1 else {"any": written}
