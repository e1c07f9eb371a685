# SPDX-License-Identifier: Apache-2.0
"""What a policy says about hardware: families, assurance levels, attestation variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from accord.encoding import Fields, JSONValue
from accord.errors import MalformedError


class Family(StrEnum):
    """TEE families that evidence can come from."""

    TDX = "tdx"


class Assurance(StrEnum):
    """How much an attested environment is worth, weakest first (design section 6)."""

    SIMULATED = "simulated"
    TPM = "tpm"
    CVM = "cvm"
    ENCLAVE = "enclave"

    @property
    def rank(self) -> int:
        return list(Assurance).index(self)

    def at_least(self, minimum: Assurance) -> bool:
        return self.rank >= minimum.rank

    def weaker(self, other: Assurance) -> Assurance:
        """What two environments are worth that both hold the same secret."""
        return self if other.at_least(self) else other


MEASUREMENT_BYTES: Mapping[Family, Mapping[str, int]] = MappingProxyType(
    {
        Family.TDX: MappingProxyType(
            dict.fromkeys(
                (
                    "mrtd",
                    "rtmr0",
                    "rtmr1",
                    "rtmr2",
                    "rtmr3",
                    "mrseam",
                    "mrconfigid",
                    "mrowner",
                    "mrownerconfig",
                ),
                48,
            )
        )
    }
)
"""Measurements that can be appraised, with their size in bytes, by family."""

REQUIRED_MEASUREMENT: Mapping[Family, str] = MappingProxyType({Family.TDX: "mrtd"})
"""The measurement that names the code; a variant without it would admit any program."""

TCB_STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
)
"""Statuses a policy may tolerate (Intel PCS API v4); ``Revoked`` never is."""


@dataclass(frozen=True, slots=True)
class AttestationVariant:
    """One acceptable environment: every factor named here must hold.

    ``measurements`` lists, per register, the values of which one must be found. A register
    that is not listed is not compared. ``simulated`` says whether evidence under a test root
    is acceptable *instead of* hardware; it is never acceptable as well.
    """

    family: Family
    simulated: bool
    measurements: Mapping[str, tuple[bytes, ...]]
    tcb_statuses: tuple[str, ...]
    min_tcb_evaluation_number: int

    @classmethod
    def from_fields(cls, fields: Fields) -> AttestationVariant:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        family = fields.choice("family", Family)
        simulated = fields.flag("simulated") if fields.has("simulated") else False
        sizes = MEASUREMENT_BYTES[family]
        listed = fields.object("measurements")
        measurements: dict[str, tuple[bytes, ...]] = {}
        for name in listed.names():
            if name not in sizes:
                raise MalformedError(
                    what=listed.where, detail=f"{family} has no measurement {name}"
                )
            measurements[name] = listed.hexes(name, size=sizes[name])
            if not measurements[name]:
                raise MalformedError(what=listed.path(name), detail="allows no value at all")
        if REQUIRED_MEASUREMENT[family] not in measurements:
            raise MalformedError(
                what=listed.where, detail=f"{REQUIRED_MEASUREMENT[family]} is missing"
            )
        statuses = fields.optional("tcb_statuses", fields.texts)
        if statuses is None:
            statuses = ("UpToDate",)
        for status in statuses:
            if status not in TCB_STATUSES:
                raise MalformedError(
                    what=fields.path("tcb_statuses"), detail=f"{status} cannot be tolerated"
                )
        if not statuses:
            raise MalformedError(what=fields.path("tcb_statuses"), detail="allows no status")
        minimum = (
            fields.integer("min_tcb_evaluation_number", minimum=0)
            if fields.has("min_tcb_evaluation_number")
            else 0
        )
        fields.end()
        return cls(family, simulated, MappingProxyType(measurements), tuple(statuses), minimum)

    def to_json(self) -> JSONValue:
        return {
            "family": self.family.value,
            "simulated": self.simulated,
            "measurements": {
                name: [value.hex() for value in values]
                for name, values in self.measurements.items()
            },
            "tcb_statuses": list(self.tcb_statuses),
            "min_tcb_evaluation_number": self.min_tcb_evaluation_number,
        }
