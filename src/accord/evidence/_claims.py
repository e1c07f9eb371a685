# SPDX-License-Identifier: Apache-2.0
"""What verified evidence proves, and who can make evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

from accord.encoding import Digest
from accord.evidence._evidence import Evidence
from accord.evidence._roots import RootKind
from accord.policy import Assurance, Family, Scalar

T = TypeVar("T")

ASSURANCE: Mapping[Family, Assurance] = MappingProxyType(
    {
        Family.SGX: Assurance.ENCLAVE,
        Family.TDX: Assurance.CVM,
        Family.SNP: Assurance.CVM,
        Family.TPM: Assurance.TPM,
        Family.TXT: Assurance.TPM,
        Family.AZURE: Assurance.CVM,
        Family.NITRO: Assurance.CVM,
        Family.PSA: Assurance.TPM,  # isolated, but its memory is not encrypted
        Family.CCA: Assurance.CVM,
        Family.KEYSTONE: Assurance.ENCLAVE,
        Family.NVIDIA: Assurance.TPM,  # a GPU by itself runs nobody's program
    }
)
"""What hardware of each family is worth."""


def _nothing() -> Mapping[str, T]:
    return MappingProxyType({})


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
class Component:
    """Something an environment loaded and measured: a firmware part, a file."""

    kind: str
    name: str
    digest: bytes
    version: str = ""
    signer: bytes = b""


@dataclass(frozen=True, slots=True)
class Endorser:
    """One link of the chain that vouches for the evidence, leaf first, root last."""

    what: str
    digest: Digest
    not_before: datetime | None
    not_after: datetime | None


@dataclass(frozen=True, slots=True)
class Claims:
    """Facts about an environment, proved by verified evidence; whether they suffice is policy.

    ``measurements``, ``attributes`` and ``components`` go by the names of
    `accord.policy.FAMILIES`. ``tcb`` is None where the vendor does not rate platforms.
    ``instance_id`` names hardware, not a running instance (Intel's PPID, AMD's chip id, ...):
    it is the same for every environment on one machine, and private to its owner.
    ``collateral_expires`` is the last second at which the same evidence verifies, None for
    keys that never expire.
    """

    family: Family
    root: Digest
    root_kind: RootKind
    measurements: Mapping[str, bytes]
    debug: bool
    tcb: TCB | None
    instance_id: bytes
    collateral_expires: datetime | None
    attributes: Mapping[str, Scalar] = field(default_factory=_nothing)
    components: tuple[Component, ...] = ()
    chain: tuple[Endorser, ...] = ()
    parts: Mapping[str, Claims] = field(default_factory=_nothing)

    @property
    def assurance(self) -> Assurance:
        """Never more than simulated under a test root."""
        if self.root_kind is not RootKind.PRODUCTION:
            return Assurance.SIMULATED
        return ASSURANCE[self.family]

    @property
    def tcb_status(self) -> str:
        """The vendor's rating of the platform, in a word."""
        return "not rated" if self.tcb is None else self.tcb.status


class Verified(NamedTuple):
    """Claims, and what the hardware signed on behalf of the environment, by slot.

    ``bound`` is not compared with anything yet: whoever asked for the evidence knows what it
    must be (`Binding.slots`).
    """

    claims: Claims
    bound: Mapping[str, bytes]


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
