# SPDX-License-Identifier: Apache-2.0
"""Late launches by Intel TXT: that they verify, and that their absence is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tpm import ForgedTPM
from tests.unit.evidence.tpm.conftest import NOW, REPORT_DATA, changed

from accord.encoding import Fields
from accord.errors import (
    AppraisalError,
    EnvironmentRefusedError,
    EvidenceMalformedError,
    LogMismatchError,
)
from accord.evidence import Evidence, Verified, appraise, link, parse, verify_unbound
from accord.evidence.tpm import ParsedTPM, TXTLog, parse_txt_log
from accord.policy import FAMILIES, AttestationVariant, Family
from accord.testing import SimulatedLaunch, SimulatedTPM, SimulatedTXT
from accord.testing._tpm_boot import Measured, write_event_log


def checked(evidence: Evidence, machine: SimulatedTPM) -> Verified:
    return verify_unbound(evidence, anchors=[machine.root_digest], now=NOW)


def register(events: list[str], bank: str = "sha256") -> bytes:
    """What a register holds after ``events``."""
    value = bytes(hashlib.new(bank).digest_size)
    for event in events:
        value = hashlib.new(bank, value + bytes.fromhex(event)).digest()
    return value


def listed(index: int, digests: list[str], bank: str = "SHA256") -> dict[str, Any]:
    """A register in the trust agent's JSON."""
    return {
        "pcr": {"index": index, "bank": bank},
        "tpm_events": [
            {"type_id": "0x501", "type_name": "x", "tags": ["x"], "measurement": digest}
            for digest in digests
        ],
    }


def test_a_late_launch_verifies(machine: SimulatedTPM, launched: Evidence) -> None:
    """What was launched, below which boot, and what it is bound to."""
    claims, bound = checked(launched, machine)
    found = {(item.kind, item.name): item.digest for item in claims.components}
    launch = SimulatedLaunch()

    assert bound == {"txt": link("txt", REPORT_DATA)}
    assert claims.family is Family.TXT
    assert claims.attributes["txt_log"] is True
    assert claims.attributes["late_launch"] is True
    assert claims.attributes["secure_boot"] is True
    assert found["txt.pcr17", "HASH_START"] == hashlib.sha256(launch.sinit).digest()
    assert found["txt.pcr17", "MLE_HASH"] == hashlib.sha256(launch.environment).digest()
    assert found["txt.pcr17", "vmlinuz"] == hashlib.sha256(launch.kernel).digest()
    assert found["txt.pcr18", "SINIT_PUBKEY_HASH"] == hashlib.sha256(launch.authority).digest()


def test_claims_have_only_names_that_policies_know(
    machine: SimulatedTPM, launched: Evidence
) -> None:
    """Every attribute is appraisable, with its type."""
    claims, _ = checked(launched, machine)
    known = FAMILIES[Family.TXT]

    assert known.attributes.keys() == claims.attributes.keys()
    assert all(type(claims.attributes[name]) is kind for name, kind in known.attributes.items())
    assert claims.measurements.keys() <= known.measurements.keys()


def test_another_launched_environment_has_other_registers(
    machine: SimulatedTPM, launched: Evidence
) -> None:
    """PCR 17 says what was launched, PCR 18 by whose authority."""
    other = SimulatedTXT.load(machine.home).collect(
        REPORT_DATA, launch=SimulatedLaunch(environment=b"evil")
    )
    old, new = checked(launched, machine).claims, checked(other, machine).claims

    assert old.measurements["sha256.pcr17"] != new.measurements["sha256.pcr17"]
    assert old.measurements["sha256.pcr18"] == new.measurements["sha256.pcr18"]
    with pytest.raises(LogMismatchError, match="sha256 PCR 17"):
        checked(changed(other, txt_log=launched.aux["txt_log"]), machine)


def test_a_machine_without_late_launch_is_refused(machine: SimulatedTPM) -> None:
    """After an ordinary start PCR 17 and 18 hold ones."""
    evidence = machine.collect(REPORT_DATA, selection={"sha256": range(19)})
    txt = replace(evidence, family=Family.TXT)

    with pytest.raises(EnvironmentRefusedError, match="PCR 17 is ffff"):
        checked(txt, machine)


@pytest.mark.parametrize("value", [b"\0", b"\xff"])
@pytest.mark.parametrize("index", [17, 18])
def test_registers_without_a_launch_are_refused(
    forger: ForgedTPM, index: int, value: bytes
) -> None:
    """Zeros were reset and not extended; ones were never reset. One of the two is enough."""
    registers = {("sha256", 17): bytes([7]) * 32, ("sha256", 18): bytes([7]) * 32}
    evidence = forger.evidence(registers | {("sha256", index): 32 * value}, family=Family.TXT)

    with pytest.raises(EnvironmentRefusedError, match=f"sha256 PCR {index}"):
        verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


def test_a_launch_in_one_bank_alone_is_refused(forger: ForgedTPM) -> None:
    """Every quoted bank must tell of it."""
    registers = {("sha256", 17): bytes([7]) * 32, ("sha256", 18): bytes([7]) * 32}
    evidence = forger.evidence(registers | {("sha1", 17): b"\xff" * 20}, family=Family.TXT)

    with pytest.raises(EnvironmentRefusedError, match="sha1 PCR 17"):
        verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


@pytest.mark.parametrize("quoted", [[17], [18], [0], [16, 19]])
def test_both_registers_must_be_quoted(forger: ForgedTPM, quoted: list[int]) -> None:
    """One of them is not enough."""
    registers = {("sha256", index): bytes([7]) * 32 for index in quoted}
    evidence = forger.evidence(registers, family=Family.TXT)

    with pytest.raises(EnvironmentRefusedError, match="both, of one bank"):
        verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


def test_values_that_only_look_alike_are_no_ones(forger: ForgedTPM) -> None:
    """Any other repeated byte is a value like all others."""
    registers = {("sha256", 17): b"\x11" * 32, ("sha256", 18): b"\x22" * 32}
    evidence = forger.evidence(registers, family=Family.TXT)

    claims, _ = verify_unbound(evidence, anchors=[forger.anchor], now=NOW)
    assert (claims.attributes["txt_log"], claims.attributes["late_launch"]) == (False, False)


def test_registers_that_were_extended_without_a_launch_are_not_admitted(
    forger: ForgedTPM,
) -> None:
    """Locality 2 may extend ones: a policy that names such values has copied them."""
    value = hashlib.sha256(b"\xff" * 32 + hashlib.sha256(b"x").digest()).digest()
    registers = dict.fromkeys([("sha256", 17), ("sha256", 18)], value)
    claims, _ = verify_unbound(
        forger.evidence(registers, family=Family.TXT), anchors=[forger.anchor], now=NOW
    )
    document: dict[str, Any] = {
        "family": "txt",
        "simulated": True,
        "measurements": {name: [value.hex()] for name in ("sha256.pcr17", "sha256.pcr18")},
    }

    with pytest.raises(AppraisalError, match="late_launch"):
        appraise(claims, [AttestationVariant.from_fields(Fields(document, "policy"))], now=NOW)
    logged = document | {"attributes": {"late_launch": [False]}}
    variant = AttestationVariant.from_fields(Fields(logged, "policy"))
    assert appraise(claims, [variant], now=NOW).variant == 0
    log = json.dumps([listed(index, [hashlib.sha256(b"x").hexdigest()]) for index in (17, 18)])
    forged = forger.evidence(registers, family=Family.TXT, logs={"txt_log": log.encode()})
    with pytest.raises(LogMismatchError, match="sha256 PCR 17"):
        verify_unbound(forged, anchors=[forger.anchor], now=NOW)


def test_a_log_in_json_replays(forger: ForgedTPM) -> None:
    """As Intel's trust agent writes it; a mislabelled bank does not matter."""
    events = {17: ["11" * 32, "22" * 32], 18: ["33" * 32]}
    log = json.dumps([listed(17, events[17]), listed(18, events[18], "SHA1")]).encode()
    registers = {("sha256", index): register(digests) for index, digests in events.items()}
    evidence = forger.evidence(registers, family=Family.TXT, logs={"txt_log": log})

    claims, _ = verify_unbound(evidence, anchors=[forger.anchor], now=NOW)
    assert [(item.kind, item.digest.hex()[:2]) for item in claims.components] == [
        ("txt.pcr17", "11"),
        ("txt.pcr17", "22"),
        ("txt.pcr18", "33"),
    ]


def test_a_log_must_have_both_registers(forger: ForgedTPM) -> None:
    """Nothing is left out."""
    registers = {("sha256", 17): register(["11" * 32]), ("sha256", 18): bytes([7]) * 32}
    log = json.dumps([listed(17, ["11" * 32])]).encode()
    evidence = forger.evidence(registers, family=Family.TXT, logs={"txt_log": log})

    with pytest.raises(LogMismatchError, match="sha256 PCR 18"):
        verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


def test_a_log_of_another_bank_proves_nothing(forger: ForgedTPM) -> None:
    """It has SHA-1 alone, but SHA-256 was quoted."""
    registers = {("sha256", 17): bytes([7]) * 32, ("sha256", 18): bytes([7]) * 32}
    log = json.dumps([listed(17, ["11" * 20]), listed(18, ["11" * 20])]).encode()
    evidence = forger.evidence(registers, family=Family.TXT, logs={"txt_log": log})

    with pytest.raises(LogMismatchError, match="banks sha1"):
        verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


def test_a_register_may_be_listed_twice_if_it_says_the_same() -> None:
    """Trust agents do it; two different lists would leave open which is meant."""
    first, second = listed(17, ["11" * 32]), listed(17, ["22" * 32], "SHA1")
    del second["tpm_events"][0]["tags"]  # some agents leave them out

    assert len(parse_txt_log(json.dumps([first, first]).encode()).events) == 1
    with pytest.raises(EvidenceMalformedError, match="listed twice"):
        parse_txt_log(json.dumps([first, second]).encode())


def test_only_zeros_make_a_marker() -> None:
    """PCR mapping with a digest is a measurement like all others."""
    log = write_event_log([Measured(17, 0x401, b"x", b""), Measured(17, 0x404, b"y", b"")])

    assert [event.type for event in parse_txt_log(log).events["sha256", 17]] == [0x401, 0x404]


def test_a_marker_whose_digests_are_zeros_is_left_aside() -> None:
    """In every bank."""
    log = write_event_log([Measured(17, 0x401, b"", b"\1"), Measured(17, 0x404, b"y", b"")])
    for bank in ("sha1", "sha256", "sha384"):
        digest = hashlib.new(bank, b"").digest()
        log = log.replace(digest, bytes(len(digest)))

    assert [event.name for event in parse_txt_log(log).events["sha256", 17]] == ["MLE_HASH"]


@pytest.mark.parametrize(
    "log",
    [
        b"[]",
        b"[1]",
        b"[",
        b'[{"pcr": 1}]',
        json.dumps([listed(16, ["11" * 32])]).encode(),
        json.dumps([listed(17, ["11" * 32], "MD5")]).encode(),
        json.dumps([listed(17, [])]).encode(),
        json.dumps([listed(17, ["11" * 32, "11" * 20])]).encode(),
        json.dumps([listed(17, ["11" * 33])]).encode(),
        json.dumps([listed(17, ["xx" * 32])]).encode(),
        json.dumps([{**listed(17, ["11" * 32]), "more": 1}]).encode(),
        write_event_log([Measured(4, 4, b"", b"")]),
        b"[" + b" " * (1 << 20),
    ],
)
def test_other_logs_are_refused(log: bytes) -> None:
    """Empty, cut, of other registers, with digests that are none."""
    with pytest.raises(EvidenceMalformedError):
        parse_txt_log(log)


def test_evidence_is_taken_apart_to_be_shown(launched: Evidence) -> None:
    """The log of the launch too."""
    found = parse(launched)

    assert isinstance(found, ParsedTPM)
    assert isinstance(found.txt_log, TXTLog)
    assert found.txt_log.banks == {"sha1", "sha256", "sha384"}


@given(st.binary(max_size=200))
def test_the_parser_raises_nothing_but_malformed(data: bytes) -> None:
    """Of both forms."""
    for example in (data, b"[" + data, write_event_log([]) + data):
        try:
            parse_txt_log(example)
        except EvidenceMalformedError:
            continue
