# SPDX-License-Identifier: Apache-2.0
"""Counters for tests: one in memory that counts its operations, and a real software TPM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accord.attesters import TPMCounter, Transmit
from accord.testing import SoftwareTPM

AUTH = bytes(range(32))


@dataclass
class MemoryCounter:
    """Grows as a real one; copies of the store do not copy it."""

    value: int = 40
    increments: int = 0

    def read(self) -> int:
        return self.value

    def increment(self) -> int:
        self.value += 1
        self.increments += 1
        return self.value


def tpm_counter(folder: Path, *, auth: bytes = AUTH) -> TPMCounter:
    """A counter in the software TPM in ``folder``, switched on for each operation."""

    @contextmanager
    def switched_on() -> Iterator[Transmit]:
        with SoftwareTPM(folder) as tpm:
            yield tpm.transmit

    return TPMCounter(auth, connect=switched_on)
