# SPDX-License-Identifier: Apache-2.0
"""The outcome of an appraisal, admitted or refused (docs/spec/attestation-result.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from accord import __version__
from accord.encoding import JSONValue, canonical_json, format_time, sha256
from accord.evidence._claims import Claims
from accord.evidence._ear import EAR, Submodule, Tier
from accord.evidence._reasons import Reason
from accord.evidence._roots import RootKind
from accord.policy import WHOLE, Assurance, Family, Scalar

PRIVATE_CLAIMS = "accord.claims"
"""The one key under which we add what the draft has no name for."""

_LARGEST = 2**53 - 1


@dataclass(frozen=True, slots=True)
class AttestationResult:
    """What an appraisal found of an environment and its parts.

    ``variant`` is the index of the variant that admits it; None where none does, and then
    ``refusals`` holds the reasons of every variant, in order. ``submodules`` has the whole
    under ``cpu``, and each part by its name. It is unsigned: whoever stores it signs what
    carries it, or signs `ear`.
    """

    claims: Claims
    variant: int | None
    submodules: Mapping[str, Submodule]
    refusals: tuple[tuple[Reason, ...], ...]
    appraised_at: datetime

    @property
    def admitted(self) -> bool:
        return self.variant is not None

    @property
    def status(self) -> Tier:
        """The worst of the whole and of all parts that the policy names."""
        return self.submodules[WHOLE].status

    @property
    def trust_vector(self) -> Mapping[str, int]:
        """That of the whole."""
        return self.submodules[WHOLE].vector

    @property
    def policy_id(self) -> str | None:
        return self.submodules[WHOLE].policy_id

    @property
    def gpu_cc(self) -> bool:
        """Whether it is a CVM or enclave with a GPU in confidential mode, all of it hardware.

        Only a GPU that the policy names counts, and only if nothing warns of it.
        """
        return self.claims.assurance.at_least(Assurance.CVM) and any(
            part.family is Family.NVIDIA
            and part.root_kind is RootKind.PRODUCTION
            and self.submodules[name].status is Tier.AFFIRMING
            for name, part in self.claims.parts.items()
        )

    def ear(
        self,
        *,
        nonce: bytes | None = None,
        raw_evidence: bytes | None = None,
        issuer: str | None = None,
        expires: datetime | None = None,
    ) -> EAR:
        """The result as an EAT attestation result, ready to be signed."""
        return EAR(
            issued_at=self.appraised_at,
            build=f"accord {__version__}",
            developer="accord",
            submodules=self.submodules,
            nonce=nonce,
            raw_evidence=raw_evidence,
            issuer=issuer,
            expires=expires,
            private={PRIVATE_CLAIMS: self._private()},
        )

    def to_json(self) -> JSONValue:
        """The shape of draft-ietf-rats-ear, unsigned."""
        return self.ear().to_json()

    def _private(self) -> dict[str, JSONValue]:
        found = _facts(self.claims) | {"variant": self.variant}
        parts = {name: _facts(part) for name, part in self.claims.parts.items()}
        linked = any(part.family is Family.NVIDIA for part in self.claims.parts.values())
        optional: dict[str, JSONValue] = {
            "parts": parts,
            # All that is proved: CPU and GPU were asked together, not that one bus joins them.
            "gpu_binding": "nonce_linked" if linked else None,
            "assurance_attributes": ["gpu-cc"] if self.gpu_cc else [],
            "refusals": [[reason.to_json() for reason in one] for one in self.refusals],
        }
        return found | {name: value for name, value in optional.items() if value}


def _facts(claims: Claims) -> dict[str, JSONValue]:
    found: dict[str, JSONValue] = {
        "assurance": claims.assurance.value,
        "family": claims.family.value,
        "root": claims.root,
        "root_kind": claims.root_kind.value,
        "measurements": {name: value.hex() for name, value in claims.measurements.items()},
        "debug": claims.debug,
        "tcb": _tcb(claims),
        "instance_id": claims.instance_id.hex(),
        "collateral_expires": _moment(claims.collateral_expires),
    }
    if claims.attributes:
        found["attributes"] = {name: _exact(value) for name, value in claims.attributes.items()}
    if claims.components:
        found["components"] = _components(claims)
    return found


def _exact(value: Scalar) -> Scalar:
    """A number that is the same in every reader of JSON, or its text."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST:
        return hex(value)
    return value


def _components(claims: Claims) -> JSONValue:
    """A log can have 100,000 entries, and a ledger keeps results for ever: their digest."""
    listed = [
        [item.kind, item.name, item.digest.hex(), item.version, item.signer.hex()]
        for item in claims.components
    ]
    return {"count": len(listed), "digest": sha256(canonical_json(listed))}


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
