# SPDX-License-Identifier: Apache-2.0
"""Whether verified claims satisfy a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from accord.encoding import canonical_json, sha256
from accord.errors import AppraisalError, EvidenceMalformedError
from accord.evidence._claims import Claims
from accord.evidence._ear import Submodule, Tier
from accord.evidence._reasons import Reason, part_reasons, whole_reasons
from accord.evidence._result import AttestationResult
from accord.evidence._trust_vector import NOTHING, trust_vector
from accord.policy import WHOLE, AttestationVariant

_UNNAMED = Submodule(Tier.NONE, NOTHING, None)
"""A part that was attested, though no policy asked for it: it helps nothing."""

_Found = Mapping[str, tuple[Reason, ...]]
"""The reasons to refuse the whole, and each part that the variant names."""


def appraise(
    claims: Claims, variants: Sequence[AttestationVariant], *, now: datetime
) -> AttestationResult:
    """The result for the first of ``variants`` that admits ``claims``.

    All factors of a variant must hold; one variant suffices; no variant at all refuses. That
    the claims are true is *not* checked: take them from `verify` alone.

    Raises ``AppraisalError``, whose detail ``reasons`` holds every ``Reason`` of every
    variant, in order, and ``EvidenceMalformedError`` for a part that calls itself the whole.
    """
    result = evaluate(claims, variants, now=now)
    if not result.admitted:
        summary = "; ".join(
            f"variant {index}: {', '.join(map(str, reasons))}"
            for index, reasons in enumerate(result.refusals)
        )
        raise AppraisalError(summary=summary or "there is no variant", reasons=result.refusals)
    return result


def evaluate(
    claims: Claims, variants: Sequence[AttestationVariant], *, now: datetime
) -> AttestationResult:
    """The result, also where no variant admits ``claims``: it then contraindicates.

    Only for telling others about a refusal: it raises nothing for one, so what it returns
    must *not* be taken for an admission; use `appraise` to decide. The trust vector of a
    refusal is that of the variant with the fewest reasons.

    Raises ``EvidenceMalformedError`` for a part that calls itself the whole.
    """
    if WHOLE in claims.parts:
        raise EvidenceMalformedError(what=f"part {WHOLE}", detail="so is the whole called")
    refused: list[_Found] = []
    for index, variant in enumerate(variants):
        found = _reasons(claims, variant, now)
        if not any(found.values()):
            policy = _policy_id([variant])
            submodules = _submodules(claims, variant, found, policy)
            return AttestationResult(claims, index, submodules, (), now)
        refused.append(found)
    # An empty list would be trivially satisfied by "all", and by a typo in a policy.
    refusals = tuple(tuple(one for part in found.values() for one in part) for found in refused)
    policy = _policy_id(variants)
    if not refusals:
        nothing = dict.fromkeys(claims.parts, _UNNAMED)
        whole = Submodule(Tier.CONTRAINDICATED, NOTHING, policy)
        return AttestationResult(claims, None, MappingProxyType(nothing | {WHOLE: whole}), (), now)
    nearest = min(range(len(refusals)), key=lambda index: len(refusals[index]))
    submodules = _submodules(claims, variants[nearest], refused[nearest], policy)
    return AttestationResult(claims, None, submodules, refusals, now)


def _reasons(claims: Claims, variant: AttestationVariant, now: datetime) -> _Found:
    """Every factor of ``variant`` that does not hold, without stopping at the first."""
    found = {WHOLE: whole_reasons(claims, variant, now=now)}
    return found | {
        name: part_reasons(claims, variant, name, now=now) for name in sorted(variant.parts)
    }


def _policy_id(variants: Sequence[AttestationVariant]) -> str:
    """The variant that admits; of a refusal, the list of those that all refuse."""
    if len(variants) == 1:
        return "urn:accord:attestation-variant:" + variants[0].digest
    listed = canonical_json([variant.to_json() for variant in variants])
    return "urn:accord:attestation-variants:" + sha256(listed)


def _submodules(
    claims: Claims, variant: AttestationVariant, found: _Found, policy: str
) -> Mapping[str, Submodule]:
    parts = dict.fromkeys(claims.parts, _UNNAMED)
    missing: list[Reason] = []
    for name, named in variant.parts.items():
        if name not in claims.parts:
            missing += found[name]
            continue
        vector = trust_vector(claims.parts[name], named, found[name])
        tier = Tier.CONTRAINDICATED if found[name] else Tier.of(vector.values())
        parts[name] = Submodule(tier, vector, policy)
    vector = trust_vector(claims, variant, [*found[WHOLE], *missing])
    # Whoever reads but one submodule reads that of the whole: it is no better than its parts.
    tiers = [parts[name].status for name in variant.parts if name in parts]
    worst = max([Tier.of(vector.values()), *tiers], key=lambda tier: tier.number)
    tier = Tier.CONTRAINDICATED if any(found.values()) else worst
    return MappingProxyType({WHOLE: Submodule(tier, vector, policy), **parts})
