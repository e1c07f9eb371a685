# SPDX-License-Identifier: Apache-2.0
"""A charter in words, complete: whoever signs it must be able to read all of it."""

from __future__ import annotations

from accord.board import ActionRule, Charter, Constitution, Member, Rule, RuleKind
from accord.encoding import base64_encode
from accord.policy import AttestationVariant, tcb_terms, variant_terms

_SETS = {
    "affected_owners": "every owner of an asset that is used",
    "lineage_owners": "every owner of what any asset that is used was computed from",
    "stoppers": "every member who stopped what goes on again",
}


def constitution_text(constitution: Constitution) -> list[str]:
    """Every rule, with who may veto and how long it takes."""
    lines = []
    for action, rule in constitution.rules.items():
        lines += [f"rule       {action.value} needs", *_rule(rule.approve, 1), *_terms(rule)]
    return lines


def _terms(rule: ActionRule) -> list[str]:
    lines = [f"  veto     {_meant(term)}" for term in rule.veto]
    if rule.notice_s:
        lines.append(f"  notice   {rule.notice_s} s after the last approval")
    if rule.voting_s is not None:
        lines.append(f"  voting   at most {rule.voting_s} s")
    return lines


def _rule(rule: Rule, depth: int) -> list[str]:
    """The tree of approvals, one indented line for each node."""
    match rule.kind:
        case RuleKind.EVERYONE:
            words = _meant(rule.members)
        case RuleKind.AT_LEAST:
            words = f"at least {rule.needed} of: {_meant(rule.members)}"
        case RuleKind.WEIGHTED:
            words = f"together at least weight {rule.needed} of: {_meant(rule.members)}"
        case _:
            words = f"{rule.kind.value} of"
    below = [line for item in rule.rules for line in _rule(item, depth + 1)]
    return [f"{'  ' * depth}{words}", *below]


def _meant(term: str) -> str:
    if term in _SETS:
        return _SETS[term]
    kind, _, name = term.partition(":")
    return f"member {name}" if kind == "member" else f"everyone with role {name}"


def charter_text(charter: Charter) -> list[str]:
    """Every member, with keys, weight, and how an automated one is reached and attested."""
    return [line for member in charter.members.values() for line in member_text(member)]


def member_text(member: Member) -> list[str]:
    """One member, complete."""
    identity = member.identity
    lines = [
        f"member     {member.name}, {', '.join(sorted(member.roles)) or 'no role'}",
        f"  key      {identity.verify_key.key_id}",
        f"  sealing  {base64_encode(identity.seal_key.raw)}",
    ]
    if member.weight != 1:
        lines.append(f"  weight   {member.weight}")
    if member.approval is not None:
        lines.append(f"  asked at {member.approval.url} ({member.approval.timeout_s} s)")
        lines.append(f"    TLS key {member.approval.tls_spki_sha256.hex()}")
    for variant in member.attestation:
        lines += [f"  {line}" for line in variant_text(variant, label="votes from")]
    return lines


def variant_text(variant: AttestationVariant, *, label: str = "service") -> list[str]:
    """All that is demanded of an environment, one value on a line; then of its parts."""
    kind = "SIMULATED " if variant.simulated else ""
    lines = [f"{label:<10} {kind}{variant.family.value}"]
    for what, values in tcb_terms(variant):
        if what == "at least":
            lines.append(f"  TCB evaluation number at least {values[0]}")
        else:
            lines.append(f"  {what:<8} {', '.join(values)}")
    for what, values in variant_terms(variant):
        lines += [f"  {what}", *(f"    {value}" for value in values)]
    for name, part in sorted(variant.parts.items()):
        lines += [f"  {line}" for line in variant_text(part, label=f"part {name}")]
    return lines
