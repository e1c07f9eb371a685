# SPDX-License-Identifier: Apache-2.0
"""Simulators that ship with accord: for tests, and for ``--simulated`` entry points alone."""

from accord.testing._azure import SimulatedAzure
from accord.testing._cca import SimulatedCCA
from accord.testing._keystone import SimulatedKeystone
from accord.testing._measure import measure_code, measure_runtime, simulated_measurements
from accord.testing._nitro import SimulatedNitro
from accord.testing._nvidia import SimulatedNVIDIA
from accord.testing._platform import SimulatedPlatform, SimulatedTDX
from accord.testing._psa import SimulatedPSA
from accord.testing._quote import TDX_REGISTERS
from accord.testing._registry import Simulator, create_simulated, switched_on
from accord.testing._sgx import SimulatedSGX
from accord.testing._snp import SimulatedSNP
from accord.testing._swtpm import SoftwareTPM
from accord.testing._tpm import SimulatedTPM
from accord.testing._tpm_boot import SimulatedBoot
from accord.testing._txt import SimulatedLaunch, SimulatedTXT
from accord.testing._vendor import SimulatedVendor

__all__ = [
    "TDX_REGISTERS",
    "SimulatedAzure",
    "SimulatedBoot",
    "SimulatedCCA",
    "SimulatedKeystone",
    "SimulatedLaunch",
    "SimulatedNVIDIA",
    "SimulatedNitro",
    "SimulatedPSA",
    "SimulatedPlatform",
    "SimulatedSGX",
    "SimulatedSNP",
    "SimulatedTDX",
    "SimulatedTPM",
    "SimulatedTXT",
    "SimulatedVendor",
    "Simulator",
    "SoftwareTPM",
    "create_simulated",
    "measure_code",
    "measure_runtime",
    "simulated_measurements",
    "switched_on",
]
