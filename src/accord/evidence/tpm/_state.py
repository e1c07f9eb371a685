# SPDX-License-Identifier: Apache-2.0
"""What a quote proves of a machine: registers, and the logs that replay to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from accord.encoding import Digest
from accord.errors import EvidenceMalformedError, LogMismatchError
from accord.evidence._claims import Component
from accord.evidence._evidence import Evidence
from accord.evidence.tpm._bootfacts import BootFacts, boot_facts
from accord.evidence.tpm._eventlog import EventLog, check_replay, parse_event_log
from accord.evidence.tpm._ima import (
    BOOT_AGGREGATE,
    IMA_REGISTER,
    IMAEntries,
    check_boot_aggregate,
    parse_ima_log,
    replay_until,
)
from accord.evidence.tpm._imafiles import ima_components
from accord.evidence.tpm._key import AttestationKey, vouched_key
from accord.evidence.tpm._quote import (
    Quote,
    Registers,
    check_registers,
    parse_quote,
    parse_registers,
    verify_attested,
)
from accord.evidence.tpm._structures import BANKS, Selection
from accord.policy import Family

WEAK_BANK: Final = "sha1"
_AUX: Final = frozenset({"ak_public", "ak_spki", "pcrs", "event_log", "ima_log", "ima_keys"})
_ENDORSEMENTS: Final = frozenset({"ak_certificate", "ak_chain"})
_BOOT_REGISTERS: Final = (*range(10), 12, 13, 14)
"""What firmware and boot loaders extend, and nobody after them: a log has all of it."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files that an IMA log proves; ``joined``: its first entry is of this very boot."""

    bank: str
    entries: IMAEntries
    joined: bool
    certificates: bytes

    def components(self) -> tuple[Component, ...]:
        """One per file, in order. A file that changed while it was read has a digest of zeros."""
        entries = self.entries[1:] if self.joined else self.entries
        return ima_components(entries, certificates=self.certificates)


@dataclass(frozen=True, slots=True)
class Boot:
    """What an event log proves, of its strongest bank."""

    bank: str
    facts: BootFacts


@dataclass(frozen=True, slots=True)
class State:
    """A verified quote, with everything that replays to it."""

    quote: Quote
    key: AttestationKey
    registers: Registers
    boot: Boot | None
    files: Files | None

    def banks(self, *indices: int) -> tuple[str, ...]:
        """The banks in which all of ``indices`` were quoted, strongest first."""
        return tuple(
            bank for bank in BANKS if all((bank, index) in self.registers for index in indices)
        )


def verify_state(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> State:
    """Steps (1) to (7) of docs/spec/evidence/tpm.md, 4. Raises the errors of family ATT."""
    # (1) The blob is a quote: the TPM's magic number, its type, and nothing after it.
    _check_names(evidence)
    quote = parse_quote(evidence.blob)
    # (2) and (3) The key stays in one TPM and signs nothing else; an anchor vouches for it.
    key = vouched_key(evidence, anchors=anchors, now=now)
    # (4) It signed this quote.
    verify_attested(quote.attested, quote.signature, key.key, what="TPM quote", by="its AK")
    # (5) The values are those of exactly the registers that were quoted.
    registers = registers_of(evidence.aux, quote.quoted.selections)
    check_registers(quote, registers)
    # (6) The firmware's log leads to the quoted values.
    boot = _boot(evidence.aux["event_log"], registers) if "event_log" in evidence.aux else None
    # (7) The kernel's log leads to the quoted PCR 10.
    files = _files(evidence.aux, registers) if "ima_log" in evidence.aux else None
    return State(quote, key, registers, boot, files)


def _check_names(evidence: Evidence) -> None:
    """A misspelt log would prove nothing, and nobody would notice."""
    known = _AUX | ({"txt_log"} if evidence.family is Family.TXT else set())
    unknown = (evidence.aux.keys() - known) | (evidence.endorsements.keys() - _ENDORSEMENTS)
    if unknown:
        raise EvidenceMalformedError(
            what="evidence", detail=f"{evidence.family} has no use for {min(unknown)}"
        )


def registers_of(aux: Mapping[str, bytes], selections: Sequence[Selection]) -> Registers:
    """The values in ``aux``, compared with nothing but the selection."""
    if "pcrs" not in aux:
        raise EvidenceMalformedError(what="PCR values", detail="they are missing")
    return parse_registers(aux["pcrs"], selections)


def of_bank(registers: Registers, bank: str) -> Mapping[int, bytes]:
    """The registers of one bank, by index."""
    return MappingProxyType(
        {index: value for (named, index), value in registers.items() if named == bank}
    )


def _boot(data: bytes, registers: Registers) -> Boot:
    """Replays the log in every bank that it shares with the quote.

    Who asks for a quote chooses its registers: only where none is missing do the facts say
    what was loaded, and not what somebody chose to show of it.
    """
    log = parse_event_log(data)
    found: Boot | None = None
    for bank in BANKS:
        quoted = of_bank(registers, bank)
        if bank not in log.banks or not quoted:
            continue
        proved = check_replay(log, quoted, bank=bank)
        _check_complete(quoted, proved, bank)
        if found is None:
            _check_quoted(log, quoted, bank)
            found = Boot(bank, boot_facts(log, bank=bank, proved=proved))
    if found is None:
        raise _no_common_bank("event log", log, registers)
    return found


def _check_quoted(log: EventLog, quoted: Mapping[int, bytes], bank: str) -> None:
    """A register that was not quoted could hold anything, whatever the log says of it."""
    logged = {event.index for event in log.events if event.measured}
    missing = logged.union(_BOOT_REGISTERS) - quoted.keys()
    if missing:
        raise LogMismatchError(
            what="event log",
            register=f"{bank} PCR {min(missing)}",
            actual="a value",
            expected="nothing: not quoted",
        )


def _no_common_bank(what: str, log: EventLog, registers: Registers) -> LogMismatchError:
    return LogMismatchError(
        what=what,
        register="all quoted registers",
        actual=f"banks {', '.join(log.banks)}",
        expected=f"banks {', '.join(dict.fromkeys(bank for bank, _ in registers))}",
    )


def _check_complete(quoted: Mapping[int, bytes], proved: frozenset[int], bank: str) -> None:
    """A log without any event of a register would hide what was loaded into it."""
    for index in _BOOT_REGISTERS:
        value = quoted.get(index, b"")
        if index not in proved and any(value):
            raise LogMismatchError(
                what="event log",
                register=f"{bank} PCR {index}",
                actual=bytes(len(value)).hex(),
                expected=value.hex(),
            )


def _files(aux: Mapping[str, bytes], registers: Registers) -> Files:
    """Replays an IMA log in the strongest bank in which PCR 10 was quoted."""
    log = parse_ima_log(aux["ima_log"])
    for bank in BANKS:
        value = registers.get((bank, IMA_REGISTER))
        if value is not None:
            entries = replay_until(log, value, bank=bank)
            # A violation's name is not measured: it joins nothing.
            joined = (
                entries[0].name == BOOT_AGGREGATE
                and not entries[0].violation
                and check_boot_aggregate(entries, of_bank(registers, bank), bank=bank)
            )
            return Files(bank, entries, joined, aux.get("ima_keys", b""))
    raise LogMismatchError(
        what="IMA log", register="PCR 10", actual="its entries", expected="nothing: not quoted"
    )
