# SPDX-License-Identifier: Apache-2.0
"""Verification of TPM quotes, and of late launches by Intel TXT (docs/spec/evidence/tpm.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from accord.encoding import Digest
from accord.errors import EnvironmentRefusedError
from accord.evidence._chain import chain_expires, endorsers
from accord.evidence._claims import Claims, Component, Endorser, Verified
from accord.evidence._evidence import Evidence
from accord.evidence._roots import root_kind
from accord.evidence.tpm._eventlog import EventLog, parse_event_log
from accord.evidence.tpm._ima import IMALog, parse_ima_log
from accord.evidence.tpm._key import read_key
from accord.evidence.tpm._quote import Quote, Registers, parse_quote
from accord.evidence.tpm._state import WEAK_BANK, State, registers_of, verify_state
from accord.evidence.tpm._structures import BANKS, Public
from accord.evidence.tpm._txtlog import (
    LAUNCH_REGISTERS,
    TXTLog,
    check_txt_log,
    parse_txt_log,
    txt_components,
)
from accord.policy import Family, Scalar

_HALF = 32


@dataclass(frozen=True, slots=True)
class ParsedTPM:
    """Everything in evidence of a TPM or of TXT, taken apart, nothing verified."""

    quote: Quote
    ak_public: Public | None
    registers: Registers
    event_log: EventLog | None
    ima_log: IMALog | None
    txt_log: TXTLog | None


@dataclass(frozen=True, slots=True)
class _Launch:
    """What a log proves of a late launch; ``log_bank`` is empty where there is no log."""

    components: tuple[Component, ...] = ()
    log_bank: str = ""


def parse_tpm(evidence: Evidence) -> ParsedTPM:
    """What is in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    quote, aux = parse_quote(evidence.blob), evidence.aux
    return ParsedTPM(
        quote=quote,
        ak_public=read_key(aux)[2],
        registers=registers_of(aux, quote.quoted.selections),
        event_log=parse_event_log(aux["event_log"]) if "event_log" in aux else None,
        ima_log=parse_ima_log(aux["ima_log"]) if "ima_log" in aux else None,
        txt_log=parse_txt_log(aux["txt_log"]) if "txt_log" in aux else None,
    )


def parse_txt(evidence: Evidence) -> ParsedTPM:
    """What is in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    return parse_tpm(evidence)


def verify_tpm(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of a TPM quote; its qualifying data are *not* compared here.

    That the TPM sits in the machine one talks to, and was not asked by another, is *not*
    proved: a quote can be relayed. Nor is any register that was not quoted.

    Raises the errors of family ATT.
    """
    # (1) to (7) Blob, key, signature, registers, event log, IMA log.
    state = verify_state(evidence, anchors=anchors, now=now)
    # (10) What that says.
    return _verified(Family.TPM, state, _Launch())


def verify_txt(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of a TPM quote of a machine that says that Intel TXT launched it.

    Only a log of the launch proves that there was one (``late_launch``). Which SINIT and
    environment were launched is for the policy to say: by the values of PCR 17 and 18, or by
    what the launch's log lists. Whatever the launched environment loaded afterwards is *not*
    proved unless it measured it.

    Raises the errors of family ATT.
    """
    # (1) to (7) As for every TPM.
    state = verify_state(evidence, anchors=anchors, now=now)
    # (8) The launch's registers are quoted, and were extended.
    banks = _launched_banks(state)
    # (9) The log of the launch leads from zeros to PCR 17 and 18.
    launch = _Launch()
    if "txt_log" in evidence.aux:
        log = parse_txt_log(evidence.aux["txt_log"])
        bank = check_txt_log(log, state.registers, banks)
        launch = _Launch(txt_components(log, bank), bank)
    # (10) What that says.
    return _verified(Family.TXT, state, launch)


def _launched_banks(state: State) -> tuple[str, ...]:
    """The banks in which both registers were extended, strongest first.

    After a start PCR 17 and 18 hold ones; only the CPU's own command, at locality 4, makes
    them zeros and extends them (PC Client Platform TPM Profile 1.05, 4.6). Zeros mean that
    the launch was reset or measured nothing. Locality 2 can extend ones without any launch:
    other values prove one only where a log leads to them from zeros.
    """
    banks = state.banks(*LAUNCH_REGISTERS)
    if not banks:
        raise EnvironmentRefusedError(
            field="quoted registers", actual="not PCR 17 and 18", expected="both, of one bank"
        )
    for bank in BANKS:
        for index in LAUNCH_REGISTERS:
            value = state.registers.get((bank, index))
            if value is not None and value.strip(value[:1]) == b"" and value[0] in {0x00, 0xFF}:
                raise EnvironmentRefusedError(
                    field=f"{bank} PCR {index}",
                    actual=value.hex(),
                    expected="a value that a late launch leaves",
                )
    return banks


def _verified(family: Family, state: State, launch: _Launch) -> Verified:
    key, attest = state.key, state.quote.attest
    components = () if state.boot is None else state.boot.facts.components
    components += () if state.files is None else state.files.components()
    claims = Claims(
        family=family,
        root=key.root,
        root_kind=root_kind(key.root),
        measurements=_measurements(state),
        debug=False,
        tcb=None,
        instance_id=hashlib.sha256(key.spki).digest(),
        collateral_expires=chain_expires(key.chain) if key.chain else None,
        attributes=_attributes(family, state, launch),
        components=components + launch.components,
        chain=endorsers(key.chain) or (Endorser("attestation key", key.root, None, None),),
    )
    # What the asker gave the TPM to sign; `verify` compares it.
    return Verified(claims, MappingProxyType({family.value: attest.extra_data}))


def _measurements(state: State) -> Mapping[str, bytes]:
    """Quoted registers of banks that we can name, and the keys of secure boot."""
    found = {
        f"{bank}.pcr{index}": value
        for (bank, index), value in state.registers.items()
        if bank in BANKS
    }
    return MappingProxyType(found | dict(state.boot.facts.keys if state.boot else {}))


def _attributes(family: Family, state: State, launch: _Launch) -> Mapping[str, Scalar]:
    """What a policy can ask beyond registers; what is not proved is not there."""
    attest = state.quote.attest
    log_banks = [part.bank for part in (state.boot, state.files) if part is not None]
    log_banks += [launch.log_bank] if launch.log_bank else []
    weak = (
        state.quote.signature.hash == WEAK_BANK
        or WEAK_BANK in log_banks
        or {bank for bank, _ in state.registers} <= {WEAK_BANK}
    )
    found: dict[str, Scalar] = {
        "clock_safe": attest.clock.safe,
        "reset_count": attest.clock.reset_count,
        "restart_count": attest.clock.restart_count,
        "firmware_version": attest.firmware_version >> _HALF,
        "firmware_build": attest.firmware_version & (1 << _HALF) - 1,
        "ak_issuer": state.key.issuer,
        "relies_on_sha1": weak,
        "event_log": state.boot is not None,
        "ima_log": state.files is not None,
        "unjoined_ima_log": state.files is not None and not state.files.joined,
    }
    if state.boot is not None and state.boot.facts.secure_boot is not None:
        found["secure_boot"] = state.boot.facts.secure_boot
    if state.files is not None:
        found["boot_aggregate"] = state.files.joined
    if family is Family.TXT:
        found["txt_log"] = found["late_launch"] = bool(launch.log_bank)
    return MappingProxyType(found)
