# SPDX-License-Identifier: Apache-2.0
"""Simulators that ship with accord: for tests, and for ``--simulated`` entry points alone."""

from accord.testing._measure import measure_code, measure_runtime, simulated_measurements
from accord.testing._platform import SimulatedPlatform, SimulatedTDX
from accord.testing._vendor import SimulatedVendor

__all__ = [
    "SimulatedPlatform",
    "SimulatedTDX",
    "SimulatedVendor",
    "measure_code",
    "measure_runtime",
    "simulated_measurements",
]
