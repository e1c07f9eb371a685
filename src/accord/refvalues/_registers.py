# SPDX-License-Identifier: Apache-2.0
"""Registers as an event log says that a machine measured itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from accord.errors import EvidenceMalformedError, ImageRefusedError
from accord.evidence.tpm import parse_event_log, replay
from accord.policy import Family
from accord.refvalues._values import ReferenceValues

_RTMRS = 4
_UNSIGNED = "a log is unsigned: it is what one machine says of itself, in a state you trust"


def measure_registers(
    log: bytes, *, bank: str = "sha256", registers: Collection[int] = ()
) -> ReferenceValues:
    """The PCRs that ``log`` replays to: those in ``registers``, or all that it extends.

    Raises ``ImageRefusedError``, also where a register in ``registers`` is not extended.
    """
    replayed = _replay(log, bank)
    for index in registers:
        if index not in replayed:
            detail = f"it does not extend PCR {index}, which could hold anything"
            raise ImageRefusedError(what="event log", detail=detail)
    chosen = sorted(registers or replayed)
    return ReferenceValues(
        Family.TPM,
        measurements={f"{bank}.pcr{index}": (replayed[index],) for index in chosen},
        caveats=(_UNSIGNED,),
    )


def measure_runtime_registers(log: bytes) -> Mapping[str, tuple[bytes, ...]]:
    """The RTMRs that a CCEL replays to. Raises ``ImageRefusedError``.

    A CCEL counts registers as UEFI 2.10, 38.4.1 does: 1 to 4 are RTMR0 to RTMR3.
    """
    replayed = _replay(log, "sha384")
    return {
        f"rtmr{index - 1}": (value,)
        for index, value in sorted(replayed.items())
        if 1 <= index <= _RTMRS
    }


def _replay(log: bytes, bank: str) -> Mapping[int, bytes]:
    try:
        return replay(parse_event_log(log), bank)
    except EvidenceMalformedError as exc:
        raise ImageRefusedError(what="event log", detail=str(exc)) from exc
