# SPDX-License-Identifier: Apache-2.0
"""The event log of a TD: true only where its replay equals the quoted registers."""

import dataclasses
import hashlib
import struct
from typing import Any

import pytest

from accord.errors import EvidenceError, EvidenceMalformedError, LogMismatchError
from accord.evidence import Claims, verify

SHA384 = 0x000C
TABLE = struct.pack("<4sI28sBBHQQ", b"CCEL", 56, bytes(28), 2, 0, 0, 1 << 18, 1 << 32)


def event(index: int, kind: int, data: bytes) -> bytes:
    """A crypto-agile event with one digest: that of its data."""
    digest = hashlib.sha384(data).digest()
    return (
        struct.pack("<IIIH", index, kind, 1, SHA384) + digest + struct.pack("<I", len(data)) + data
    )


def event_log(*events: bytes) -> bytes:
    """A log of SHA-384 events, as firmware writes it."""
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBBIHHB", 0, 0, 2, 0, 2, 1, SHA384, 48, 0)
    first = struct.pack("<II20sI", 0, 3, bytes(20), len(spec)) + spec
    return first + b"".join(events) + b"\xff" * 64


def extended(*data: bytes) -> bytes:
    """A register after these events."""
    value = bytes(48)
    for item in data:
        value = hashlib.sha384(value + hashlib.sha384(item).digest()).digest()
    return value


EVENTS = (
    event(1, 0x80000001, b"boot variable"),
    event(2, 0x80000003, b"loader"),
    event(1, 4, b"separator"),
    event(3, 0xD, b"kernel"),
)
REGISTERS = {
    "rtmr0": extended(b"boot variable", b"separator"),
    "rtmr1": extended(b"loader"),
    "rtmr2": extended(b"kernel"),
    "rtmr3": hashlib.sha384(b"extended at run time").digest(),
}


def check(generate: Any, maker: Any, good: Any, **changes: Any) -> Claims:
    measurements = {**generate.measurements(), **changes.pop("registers", REGISTERS)}
    aux = {"ccel": event_log(*EVENTS), "ccel_table": TABLE, **changes}
    blob = maker.world.quote(maker.data, measurements=measurements)
    evidence = dataclasses.replace(
        good.evidence, blob=blob, aux={name: data for name, data in aux.items() if data}
    )
    return verify(evidence, anchors=good.anchors, now=good.now, binding=good.binding)


def test_the_events_of_a_true_log_are_components(generate: Any, maker: Any, good: Any) -> None:
    """Every measured event is told, with its register, type and digest, in order."""
    components = check(generate, maker, good).components

    assert [item.name for item in components] == [
        "rtmr0 0x80000001",
        "rtmr1 0x80000003",
        "rtmr0 0x00000004",
        "rtmr2 0x0000000d",
    ]
    assert {item.kind for item in components} == {"ccel"}
    assert hashlib.sha384(b"kernel").digest() == components[-1].digest


def test_evidence_without_a_log_has_no_components(generate: Any, maker: Any, good: Any) -> None:
    """A log is optional, and so is the table that says where it lay."""
    assert check(generate, maker, good, ccel=b"", ccel_table=b"").components == ()
    assert check(generate, maker, good, ccel_table=b"").components


@pytest.mark.parametrize("register", ["rtmr0", "rtmr1", "rtmr2"])
def test_a_register_that_the_log_does_not_explain_is_refused(
    generate: Any, maker: Any, good: Any, register: str
) -> None:
    """Whatever else extended a register is not in the log: nothing of it is believed."""
    with pytest.raises(LogMismatchError):
        check(generate, maker, good, registers={**REGISTERS, register: bytes(range(48))})


@pytest.mark.parametrize(
    "events",
    [
        (*EVENTS[:-1], event(3, 13, b"another kernel")),
        EVENTS[::-1],
        EVENTS[1:],
        (*EVENTS, EVENTS[0]),
        (*EVENTS, event(4, 0xD, b"invented")),
    ],
)
def test_a_changed_log_is_refused(
    generate: Any, maker: Any, good: Any, events: tuple[bytes, ...]
) -> None:
    """Exchanged, reordered, dropped, repeated and invented events are found by replaying."""
    with pytest.raises(LogMismatchError):
        check(generate, maker, good, ccel=event_log(*events))


def test_a_register_without_events_is_not_compared(generate: Any, maker: Any, good: Any) -> None:
    """Programs extend RTMR3 at run time, which firmware's log does not record."""
    other = check(generate, maker, good, registers={**REGISTERS, "rtmr3": bytes(48)})

    assert other.components == check(generate, maker, good).components


@pytest.mark.parametrize(
    "table",
    [
        b"CCEL",
        b"SSDT" + TABLE[4:],
        TABLE[:4] + b"\0\0\0\0" + TABLE[8:],
        TABLE[:36] + b"\1" + TABLE[37:],
        TABLE[:40] + bytes(8) + TABLE[48:],
    ],
)
def test_another_table_is_refused(generate: Any, maker: Any, good: Any, table: bytes) -> None:
    """A table of another kind, TEE or size is not this log's."""
    with pytest.raises(EvidenceMalformedError, match="CCEL table"):
        check(generate, maker, good, ccel_table=table)


@pytest.mark.parametrize("log", [b"\0", b"x" * 100, event_log()[:40]])
def test_a_damaged_log_is_refused(generate: Any, maker: Any, good: Any, log: bytes) -> None:
    """What is no log is no reason to crash."""
    with pytest.raises(EvidenceError):
        check(generate, maker, good, ccel=log)
