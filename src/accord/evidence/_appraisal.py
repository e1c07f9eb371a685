# SPDX-License-Identifier: Apache-2.0
"""Whether verified claims satisfy a policy, and the attestation result that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from accord import __version__
from accord.encoding import JSONValue, canonical_json, format_time, sha256
from accord.errors import AppraisalError
from accord.evidence._claims import Claims
from accord.evidence._roots import RootKind
from accord.policy import FAMILIES, AttestationVariant

EAT_PROFILE = "tag:github.com,2023:veraison/ear"
"""The profile of draft-ietf-rats-ear."""

PRIVATE_CLAIMS = "accord.claims"
"""The one key under which we add what the draft has no name for."""

# Values of draft-ietf-rats-ar4si, section 2.3: 0 says nothing, 2 to 31 affirm, 32 to 95 warn.
_NO_CLAIM, _AFFIRMING, _BOOT_APPROVED, _WARNING = 0, 2, 3, 32


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one variant does not admit an environment."""

    field: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.field} is {self.actual}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class AttestationResult:
    """An environment that a policy admits, and how far it can be trusted.

    ``status`` is the worst tier of ``trust_vector`` (draft-ietf-rats-ar4si): ``affirming``
    for up-to-date hardware, ``warning`` for hardware that the policy tolerates and for every
    simulation. It is unsigned: whoever stores it signs what carries it.
    """

    status: str
    variant: int
    policy_id: str
    claims: Claims
    trust_vector: Mapping[str, int]
    appraised_at: datetime

    def to_json(self) -> JSONValue:
        """The shape of draft-ietf-rats-ear, with one submodule, ``cpu``."""
        claims = self.claims
        return {
            "eat_profile": EAT_PROFILE,
            "iat": int(self.appraised_at.timestamp()),
            "ear.verifier-id": {"build": f"accord {__version__}", "developer": "accord"},
            "submods": {
                "cpu": {
                    "ear.status": self.status,
                    "ear.trustworthiness-vector": dict(self.trust_vector),
                    "ear.appraisal-policy-id": self.policy_id,
                }
            },
            PRIVATE_CLAIMS: {
                "assurance": claims.assurance.value,
                "family": claims.family.value,
                "root": claims.root,
                "root_kind": claims.root_kind.value,
                "variant": self.variant,
                "measurements": {name: value.hex() for name, value in claims.measurements.items()},
                "debug": claims.debug,
                "tcb": _tcb(claims),
                "instance_id": claims.instance_id.hex(),
                "collateral_expires": _moment(claims.collateral_expires),
            },
        }


def _tcb(claims: Claims) -> JSONValue:
    if claims.tcb is None:
        return None
    return {
        "status": claims.tcb.status,
        "advisories": list(claims.tcb.advisories),
        "evaluation_number": claims.tcb.evaluation_number,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else format_time(at)


def appraise(
    claims: Claims, variants: Sequence[AttestationVariant], *, now: datetime
) -> AttestationResult:
    """The result for the first of ``variants`` that admits ``claims``.

    All factors of a variant must hold; one variant suffices; no variant at all refuses. That
    the claims are true is *not* checked: take them from `verify` alone.

    Raises ``AppraisalError``, whose detail ``reasons`` holds every ``Reason`` of every
    variant, in order.
    """
    # An empty list would be trivially satisfied by "all", and by a typo in a policy.
    refusals: list[tuple[Reason, ...]] = []
    for index, variant in enumerate(variants):
        reasons = _reasons(claims, variant, now)
        if not reasons:
            vector = _trust_vector(claims)
            return AttestationResult(
                status="affirming" if max(vector.values()) < _WARNING else "warning",
                variant=index,
                policy_id="urn:accord:attestation-variant:"
                + sha256(canonical_json(variant.to_json())),
                claims=claims,
                trust_vector=vector,
                appraised_at=now,
            )
        refusals.append(reasons)
    summary = "; ".join(
        f"variant {index}: {', '.join(map(str, reasons))}" for index, reasons in enumerate(refusals)
    )
    raise AppraisalError(summary=summary or "there is no variant", reasons=tuple(refusals))


def _reasons(claims: Claims, variant: AttestationVariant, now: datetime) -> tuple[Reason, ...]:
    """Every factor of ``variant`` that does not hold, without stopping at the first."""
    found = []

    def require(field: str, expected: object, actual: object, *, holds: bool) -> None:
        if not holds:
            found.append(Reason(field, str(expected), str(actual)))

    # (1) The family, and hardware or simulation, whichever the variant names: never both.
    require("family", variant.family, claims.family, holds=claims.family is variant.family)
    kind = RootKind.TEST if variant.simulated else RootKind.PRODUCTION
    require("root_kind", kind, claims.root_kind, holds=claims.root_kind is kind)
    # (2) No variant can ask for debug.
    require("debug", "false", str(claims.debug).lower(), holds=not claims.debug)
    # (3) Each listed register holds one of its values; a register we do not know holds none.
    for name, allowed in variant.measurements.items():
        actual = claims.measurements.get(name)
        expected = " or ".join(value.hex() for value in allowed) or "no value"
        shown = "absent" if actual is None else actual.hex()
        require(name, expected, shown, holds=actual is not None and actual in allowed)
    # (4) The state of the platform.
    if FAMILIES[variant.family].has_tcb_status:
        tolerated = " or ".join(variant.tcb_statuses)
        status = claims.tcb_status
        require("tcb_status", tolerated, status, holds=status in variant.tcb_statuses)
        least = variant.min_tcb_evaluation_number
        number = -1 if claims.tcb is None else claims.tcb.evaluation_number
        require("tcb_evaluation_number", f"at least {least}", number, holds=number >= least)
    # (5) The proof still holds.
    expires = claims.collateral_expires
    if expires is not None:
        until, at = format_time(expires), format_time(now)
        require("collateral_expires", f"{at} or later", until, holds=now <= expires)
    return tuple(found)


def _trust_vector(claims: Claims) -> Mapping[str, int]:
    """What each part is worth; a simulation says nothing about hardware, and warns of itself."""
    real = claims.root_kind is RootKind.PRODUCTION
    current = claims.tcb_status == "UpToDate"
    return MappingProxyType(
        {
            "instance-identity": _AFFIRMING if real else _NO_CLAIM,
            "configuration": _AFFIRMING,
            "executables": _BOOT_APPROVED,
            "file-system": _NO_CLAIM,
            "hardware": _AFFIRMING if real and current else _WARNING,
            "runtime-opaque": _AFFIRMING if real else _NO_CLAIM,
            "storage-opaque": _NO_CLAIM,
            "sourced-data": _NO_CLAIM,
        }
    )
