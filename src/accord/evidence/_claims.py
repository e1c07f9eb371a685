# SPDX-License-Identifier: Apache-2.0
"""What verified evidence proves, and who can make evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from accord.encoding import Digest
from accord.evidence._evidence import Evidence
from accord.evidence._roots import RootKind
from accord.policy import Assurance, Family

ASSURANCE: Mapping[Family, Assurance] = MappingProxyType({Family.TDX: Assurance.CVM})
"""What hardware of each family is worth."""


@dataclass(frozen=True, slots=True)
class TCB:
    """The state of the trusted computing base, as the vendor's collateral sees it.

    ``status`` joins platform, TDX module and quoting enclave. ``evaluation_number`` is the
    lower of the numbers of TCB info and QE identity: the age of the older of the two.
    """

    status: str
    advisories: tuple[str, ...]
    evaluation_number: int


@dataclass(frozen=True, slots=True)
class Claims:
    """Facts about an environment, proved by verified evidence; whether they suffice is policy.

    ``instance_id`` is the platform's PPID (16 bytes): the same for every environment on one
    machine, so it names hardware, not a running instance, and is private to its owner.
    ``collateral_expires`` is the last second at which the same evidence verifies.
    """

    family: Family
    root: Digest
    root_kind: RootKind
    measurements: Mapping[str, bytes]
    debug: bool
    tcb: TCB
    instance_id: bytes
    collateral_expires: datetime

    @property
    def assurance(self) -> Assurance:
        """Never more than simulated under a test root."""
        if self.root_kind is not RootKind.PRODUCTION:
            return Assurance.SIMULATED
        return ASSURANCE[self.family]


class Attester(Protocol):
    """A program's own TEE, or a simulation of one."""

    @property
    def measurements(self) -> Mapping[str, bytes]:
        """What this environment will be seen to run."""
        ...

    def collect(self, report_data: bytes) -> Evidence:
        """Fresh evidence that carries these 64 bytes (`Binding.report_data`)."""
        ...

    def seal_key(self, label: str) -> bytes:
        """32 bytes that only the same code on the same platform obtains again."""
        ...
