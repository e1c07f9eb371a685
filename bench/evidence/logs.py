# SPDX-License-Identifier: Apache-2.0
"""Logs: a boot of ordinary length, and an IMA log of 50,000 files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from accord.evidence.tpm import (
    boot_facts,
    check_replay,
    parse_event_log,
    parse_ima_log,
    replay,
    replay_ima,
    replay_until,
)
from accord.evidence.tpm._imafiles import ima_components
from accord.testing._tpm_boot import Measured, SimulatedBoot, write_event_log
from bench.evidence import Case

_ENTRIES = 50_000
_IMA_TARGET_MS = 500.0
_IMA_ROUNDS = 7
_IPL = 0xD
_COMMANDS = 80


def cases() -> Iterator[Case]:
    yield _event_log()
    yield _ima_log()


def _event_log() -> Case:
    """As long as that of a machine with GRUB."""
    commands = tuple(
        Measured(8, _IPL, b"set x=%d" % index, b"grub_cmd: set x=%d\0" % index)
        for index in range(_COMMANDS)
    )
    data = write_event_log([*SimulatedBoot().events(), *commands])
    registers = replay(parse_event_log(data), "sha256")

    def believe() -> None:
        log = parse_event_log(data)
        boot_facts(log, bank="sha256", proved=check_replay(log, registers, bank="sha256"))

    return Case("event_log", believe, note=f"{_COMMANDS + 21} events, three banks")


def _ima_log() -> Case:
    data = b"".join(
        b"10 %040d ima-ng sha256:%s /usr/lib/x86_64-linux-gnu/example/lib%d.so\n"
        % (1, hashlib.sha256(b"%d" % index).hexdigest().encode(), index)
        for index in range(_ENTRIES)
    )
    value = replay_ima(parse_ima_log(data), "sha256")

    def believe() -> None:
        ima_components(replay_until(parse_ima_log(data), value, bank="sha256"))

    note = f"{_ENTRIES} entries: parsed, replayed to PCR 10, made components"
    return Case("ima_log", believe, target=_IMA_TARGET_MS, note=note, rounds=_IMA_ROUNDS)
