# SPDX-License-Identifier: Apache-2.0
"""The simulator of each family, by one name: what ``--simulated`` entry points make and ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from accord.encoding import Digest
from accord.evidence import Evidence
from accord.policy import Family

if TYPE_CHECKING:
    from accord.attesters._tpm_commands import Transmit
    from accord.testing._tpm import SimulatedTPM


class Simulator(Protocol):
    """A simulated TEE."""

    @property
    def anchors(self) -> tuple[Digest, ...]:
        """What to pin so that its evidence verifies."""
        ...

    def collect(self, report_data: bytes) -> Evidence:
        """Evidence that carries these 64 bytes, under a test root."""
        ...


_CLASSES: Mapping[Family, tuple[str, str]] = MappingProxyType(
    {
        Family.SGX: ("_sgx", "SimulatedSGX"),
        Family.SNP: ("_snp", "SimulatedSNP"),
        Family.TPM: ("_tpm", "SimulatedTPM"),
        Family.TXT: ("_txt", "SimulatedTXT"),
        Family.AZURE: ("_azure", "SimulatedAzure"),
        Family.NITRO: ("_nitro", "SimulatedNitro"),
        Family.PSA: ("_psa", "SimulatedPSA"),
        Family.CCA: ("_cca", "SimulatedCCA"),
        Family.KEYSTONE: ("_keystone", "SimulatedKeystone"),
        Family.NVIDIA: ("_nvidia", "SimulatedNVIDIA"),
    }
)
"""Module and class, loaded when the first of the family is made: most need no other."""


def _tdx(home: Path) -> Simulator:
    """A machine, its vendor beside it, and an environment that measures as the shield does."""
    from accord.evidence import Role
    from accord.testing._measure import simulated_measurements
    from accord.testing._platform import SimulatedPlatform
    from accord.testing._vendor import SimulatedVendor

    SimulatedVendor.create(home / "vendor")
    platform = SimulatedPlatform.create(home / "platform", home / "vendor")
    return platform.attester(simulated_measurements(Role.SHIELD))


def create_simulated(family: Family, home: Path) -> Simulator:
    """The simulated TEE in ``home``, made if there is none: whoever holds it can forge it.

    Raises ``SimulatorStateError``, or what the simulator raises for what it needs.
    """
    if family is Family.TDX:
        return _tdx(home)
    module, name = _CLASSES[family]
    create: Callable[[Path], Simulator] = getattr(
        import_module(f"accord.testing.{module}"), name
    ).create
    return create(home)


@contextmanager
def switched_on(simulator: SimulatedTPM) -> Iterator[Transmit]:
    """A simulated TPM for as long as somebody sends it commands, as a device would be."""
    with simulator.running(simulator.boot) as machine:
        machine.machine.tpm.flush(machine.ak)  # it has room for three keys
        yield machine.machine.transmit
