# SPDX-License-Identifier: Apache-2.0
"""The event log of a TD: true only where its replay equals the quoted registers."""

import dataclasses
import hashlib
import struct
from typing import Any

import pytest

from accord.encoding import Fields
from accord.errors import AppraisalError, EvidenceError, EvidenceMalformedError, LogMismatchError
from accord.evidence import Claims, appraise, verify
from accord.policy import AttestationVariant

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


@pytest.mark.parametrize("kept", [(0, 2), (0, 2, 1), (0, 2, 3), (1,), ()])
def test_a_log_cut_to_hide_the_kernel_is_refused(
    generate: Any, maker: Any, good: Any, kept: tuple[int, ...]
) -> None:
    """The host hands the log over: without the events of a register, no rule would see them."""
    cut = event_log(*(EVENTS[index] for index in kept))

    with pytest.raises(LogMismatchError, match="CC register"):
        check(generate, maker, good, ccel=cut)


def test_a_register_that_was_never_extended_needs_no_events(
    generate: Any, maker: Any, good: Any
) -> None:
    """Nothing was measured into it, and its zeros say so."""
    registers = {**REGISTERS, "rtmr2": bytes(48), "rtmr3": bytes(48)}
    claims = check(generate, maker, good, registers=registers, ccel=event_log(*EVENTS[:3]))

    assert len(claims.components) == 3
    assert claims.attributes["rtmr3_unlogged"] is False


def test_what_ran_later_and_is_not_in_the_log_is_refused_by_silent_policies(
    generate: Any, maker: Any, good: Any
) -> None:
    """Programs extend RTMR3 at run time, which firmware's log does not record."""
    claims = check(generate, maker, good)
    document: dict[str, Any] = {
        "family": "tdx",
        "simulated": True,
        "measurements": {"mrtd": [claims.measurements["mrtd"].hex()]},
        "components": [{"digest": item.digest.hex()} for item in claims.components],
    }
    silent = AttestationVariant.from_fields(Fields(document, "variant"))
    document["attributes"] = {"rtmr3_unlogged": [True]}
    document["measurements"]["rtmr3"] = [claims.measurements["rtmr3"].hex()]
    named = AttestationVariant.from_fields(Fields(document, "variant"))

    assert claims.attributes["rtmr3_unlogged"] is True
    with pytest.raises(AppraisalError, match="rtmr3_unlogged is true"):
        appraise(claims, [silent], now=good.now)
    assert appraise(claims, [named], now=good.now).variant == 0


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
