# SPDX-License-Identifier: Apache-2.0
"""A simulated machine with Intel TXT: a late launch into a software TPM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from accord.encoding import Digest
from accord.evidence import Evidence
from accord.policy import Family
from accord.testing._swtpm import SoftwareTPM
from accord.testing._tpm import KeyKind, RunningTPM, Selection, SimulatedTPM
from accord.testing._tpm_boot import Measured, SimulatedBoot, write_event_log

QUOTED_LAUNCH: Final[Selection] = {"sha256": range(19)}
"""What is quoted unless said otherwise: the boot, and the launch in PCR 17 and 18."""

_HASH_START, _LAUNCHED = 0x402, 0x501
_LAUNCHED_LOCALITY = 2


@dataclass(frozen=True, slots=True)
class SimulatedLaunch:
    """What a simulated late launch measures: change a field, and PCR 17 or 18 changes."""

    sinit: bytes = b"accord simulated SINIT"
    policy: bytes = b"accord simulated launch control policy"
    stm: bytes = b"accord simulated SMI transfer monitor"
    environment: bytes = b"accord simulated measured environment"
    kernel: bytes = b"accord simulated kernel"
    authority: bytes = b"accord simulated SINIT signing key"

    def events(self) -> tuple[Measured, ...]:
        """The launch's log, in order; the first is measured by the CPU itself."""
        return (
            Measured(17, _HASH_START, self.sinit, b""),
            Measured(17, 0x40A, b"BIOS ACM registration data", b""),
            Measured(17, 0x40B, bytes(4), b""),
            Measured(17, 0x40C, bytes(4), b""),
            Measured(17, 0x412, self.policy, b""),
            Measured(17, 0x40E, self.stm, b""),
            Measured(17, 0x404, self.environment, b""),
            Measured(17, _LAUNCHED, self.kernel, b"vmlinuz\0"),
            Measured(18, 0x410, self.authority, b""),
            Measured(18, 0x40C, bytes(4), b""),
            Measured(18, 0x413, self.policy, b""),
        )


@dataclass(frozen=True, repr=False)
class SimulatedTXT:
    """Stands for one machine with TXT: whoever holds its folder can forge its evidence."""

    tpm: SimulatedTPM
    launch: SimulatedLaunch

    @classmethod
    def create(
        cls, home: Path, *, kind: KeyKind = "p256", now: datetime | None = None
    ) -> SimulatedTXT:
        """A new machine in ``home``, or the one that is there.

        Raises ``SimulatedTPMMissingError`` or ``SimulatorStateError``.
        """
        return cls(SimulatedTPM.create(home, kind=kind, now=now), SimulatedLaunch())

    @classmethod
    def load(cls, home: Path) -> SimulatedTXT:
        """The machine in ``home``. Raises ``SimulatorStateError``."""
        return cls(SimulatedTPM.load(home), SimulatedLaunch())

    @property
    def root_digest(self) -> Digest:
        """The trust anchor to pin: the TPM maker's root."""
        return self.tpm.root_digest

    @property
    def anchors(self) -> tuple[Digest, ...]:
        """What to pin so that its evidence verifies."""
        return (self.root_digest,)

    def collect(
        self,
        report_data: bytes,
        *,
        launch: SimulatedLaunch | None = None,
        boot: SimulatedBoot | None = None,
        selection: Selection = QUOTED_LAUNCH,
    ) -> Evidence:
        """Evidence of a fresh start and late launch, bound to ``report_data``."""
        with self.running(launch or self.launch, boot or self.tpm.boot) as machine:
            return machine.evidence(
                Family.TXT,
                report_data,
                selection=selection,
                endorsements=self.tpm.endorsements,
            )

    @contextmanager
    def running(self, launch: SimulatedLaunch, boot: SimulatedBoot) -> Iterator[RunningTPM]:
        """The machine from the moment after ``launch`` until it is switched off."""
        with self.tpm.running(boot) as machine:
            _launch(machine.machine, launch)
            log = {"txt_log": write_event_log(launch.events())}
            yield replace(machine, logs={**machine.logs, **log})


def _launch(machine: SoftwareTPM, launch: SimulatedLaunch) -> None:
    """SENTER measures SINIT; SINIT and the environment extend at their own locality."""
    first, *others = launch.events()
    machine.late_launch(first.content)
    machine.set_locality(_LAUNCHED_LOCALITY)
    for event in others:
        machine.tpm.pcr_extend(event.index, event.digests())
    machine.set_locality(0)
