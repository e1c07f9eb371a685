# SPDX-License-Identifier: Apache-2.0
"""Event logs and IMA logs: parsed, replayed, and read for facts."""

from __future__ import annotations

import struct
from collections.abc import Callable

from accord.evidence.tpm import boot_facts, parse_event_log, parse_ima_log, replay, replay_ima
from accord.evidence.tpm._bootfacts import PCRS, RTMRS
from accord.evidence.tpm._imafiles import ima_components

_SPEC_DATA = b"Spec ID Event03\0" + struct.pack("<IBBBBIHHB", 0, 0, 2, 0, 2, 1, 0x0B, 32, 0)
_SPEC = struct.pack("<II20sI", 0, 3, bytes(20), len(_SPEC_DATA)) + _SPEC_DATA


def _event_log(data: bytes) -> None:
    log = parse_event_log(data)
    for bank in log.banks:
        proved = replay(log, bank).keys()
        for layout in (PCRS, RTMRS):
            boot_facts(log, bank=bank, proved=proved, layout=layout)


def _ima_log(data: bytes) -> None:
    log = parse_ima_log(data)
    replay_ima(log, "sha256")
    ima_components(log.entries)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "event-log": _event_log,
    "event-log-agile": lambda data: _event_log(_SPEC + data),
    "ima-log": _ima_log,
    "ima-log-text": lambda data: _ima_log(b"10 " + b"1" * 40 + b" ima-sig sha256:" + data),
}
