# SPDX-License-Identifier: Apache-2.0
"""What root of a machine may choose: which registers are quoted, and what the logs say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.support.tpm import ForgedTPM
from tests.unit.evidence.tpm.conftest import NOW

from accord.encoding import Fields
from accord.errors import AppraisalError, LogMismatchError, MalformedError
from accord.evidence import AttestationResult, Claims, Evidence, appraise, verify_unbound
from accord.policy import AttestationVariant
from accord.testing import SimulatedBoot
from accord.testing._tpm_boot import Measured, _ima_ng, write_event_log

GOOD = SimulatedBoot()
EVIL = replace(GOOD, kernel=b"evil kernel", command_line="init=/evil", secure_boot=False)
ALL = (*range(10), 12, 13, 14)


def hashed(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def extended(digests: Sequence[bytes]) -> bytes:
    """What a register holds after ``digests``."""
    value = bytes(32)
    for digest in digests:
        value = hashed(value + digest)
    return value


def quote(
    forger: ForgedTPM,
    events: Sequence[Measured],
    indices: Sequence[int],
    *,
    log: Sequence[Measured] | None = None,
) -> Evidence:
    """A true quote of ``indices`` after ``events``; the log is true unless told otherwise."""
    values = {
        ("sha256", index): extended(
            [hashed(event.content) for event in events if event.index == index]
        )
        for index in indices
    }
    return forger.evidence(values, logs={"event_log": write_event_log(log or events)})


def claims_of(evidence: Evidence, forger: ForgedTPM) -> Claims:
    return verify_unbound(evidence, anchors=[forger.anchor], now=NOW).claims


def policy(
    rules: Sequence[Mapping[str, Any]], flags: Sequence[str] = ("event_log",)
) -> AttestationVariant:
    document = {
        "family": "tpm",
        "simulated": True,
        "attributes": {name: [True] for name in flags},
        "components": list(rules),
    }
    return AttestationVariant.from_fields(Fields(document, "policy"))


@pytest.fixture(scope="module")
def admitted(forger: ForgedTPM) -> AttestationVariant:
    """Admits what a good boot loads, and nothing else."""
    claims = claims_of(quote(forger, GOOD.events(), ALL), forger)
    return policy([{"digest": item.digest.hex()} for item in claims.components])


def judge(evidence: Evidence, forger: ForgedTPM, variant: AttestationVariant) -> AttestationResult:
    return appraise(claims_of(evidence, forger), [variant], now=NOW)


def test_a_good_boot_is_admitted_and_an_evil_one_is_not(
    forger: ForgedTPM, admitted: AttestationVariant
) -> None:
    """Where all registers are quoted."""
    assert judge(quote(forger, GOOD.events(), ALL), forger, admitted).admitted
    with pytest.raises(AppraisalError):
        judge(quote(forger, EVIL.events(), ALL), forger, admitted)


@pytest.mark.parametrize("quoted", [[0, 4], [4, 5], [4, 5, 7], [8, 9], [8], [7]])
def test_an_evil_kernel_is_not_hidden_by_quoting_other_registers(
    forger: ForgedTPM, admitted: AttestationVariant, quoted: list[int]
) -> None:
    """The log tells the truth, but nothing of the registers that were left out counts."""
    with pytest.raises(LogMismatchError, match="not quoted"):
        judge(quote(forger, EVIL.events(), quoted), forger, admitted)


@pytest.mark.parametrize("left_out", ALL)
def test_no_register_of_the_boot_may_be_left_out(
    forger: ForgedTPM, admitted: AttestationVariant, left_out: int
) -> None:
    """Nor its events with it: a log without any is not complete either."""
    quoted = [index for index in ALL if index != left_out]
    log = [event for event in EVIL.events() if event.index != left_out]

    for given in (EVIL.events(), log):
        with pytest.raises(LogMismatchError, match=f"sha256 PCR {left_out}, "):
            judge(quote(forger, EVIL.events(), quoted, log=given), forger, admitted)


def test_one_admitted_digest_in_pcr_11_alone_proves_nothing(
    forger: ForgedTPM, admitted: AttestationVariant
) -> None:
    """Root extends PCR 11 with what is admitted, whatever was booted."""
    events = [Measured(11, 0xD, GOOD.kernel, b"kernel")]

    with pytest.raises(LogMismatchError, match="not quoted"):
        judge(quote(forger, events, [11]), forger, admitted)


@pytest.mark.parametrize("index", [10, 11, 15, 17])
def test_every_register_that_the_log_extends_must_be_quoted(forger: ForgedTPM, index: int) -> None:
    """A log that is not compared with anything may say anything."""
    events = [*GOOD.events(), Measured(index, 0xD, b"more", b"more")]

    with pytest.raises(LogMismatchError, match=f"sha256 PCR {index}, "):
        claims_of(quote(forger, events, ALL), forger)
    whole = claims_of(quote(forger, events, sorted({*ALL, index})), forger)
    assert whole.attributes["event_log"] is True


def test_the_bank_whose_facts_are_claimed_is_quoted_whole(forger: ForgedTPM) -> None:
    """One register of a stronger bank would otherwise stand for all of another."""
    evidence = quote(forger, EVIL.events(), ALL)
    values = {
        ("sha256", index): extended(
            [hashed(event.content) for event in EVIL.events() if event.index == index]
        )
        for index in ALL
    }
    strong = forger.evidence(
        {("sha384", 14): bytes(48), **values}, logs={"event_log": evidence.aux["event_log"]}
    )

    with pytest.raises(LogMismatchError, match="sha384 PCR 0, "):
        claims_of(strong, forger)


@pytest.mark.parametrize("index", [2, 12, 13])
def test_drivers_and_what_is_added_to_kernels_are_not_admitted_unnamed(
    forger: ForgedTPM, admitted: AttestationVariant, index: int
) -> None:
    """UEFI drivers run before any boot loader; a command line from elsewhere replaces its own."""
    events = list(GOOD.events())
    events.insert(9, Measured(index, 0x80000004, b"evil driver", b"\\evil.efi"))

    with pytest.raises(AppraisalError):
        judge(quote(forger, events, ALL), forger, admitted)


def test_a_file_that_starts_like_a_partition_table_is_code(
    forger: ForgedTPM, admitted: AttestationVariant
) -> None:
    """GRUB takes the first line for an unknown command, and goes on."""
    script = b"EFI PART\nconfigfile /evil.cfg\n"
    events = [*GOOD.events(), Measured(9, 0xD, script, script)]

    with pytest.raises(AppraisalError):
        judge(quote(forger, events, ALL), forger, admitted)


def test_files_alone_name_no_kernel() -> None:
    """A kernel that nobody attested extends PCR 10 as it likes."""
    rules = [{"digest": hashed(b"program").hex(), "kind": "ima"}]

    with pytest.raises(MalformedError, match="is missing"):
        policy(rules, ("ima_log",))
    with pytest.raises(MalformedError, match="is missing"):
        policy(rules, ("ima_log", "boot_aggregate"))


@pytest.mark.parametrize("index", [0, 1, 2, 3, 5, 6, 8, 9, 11, 14, 15, 16, 23])
def test_registers_that_anybody_can_set_name_no_code(index: int) -> None:
    """They are the same for every boot loader, start at zeros, or can be reset."""
    document = {
        "family": "tpm",
        "simulated": True,
        "measurements": {f"sha256.pcr{index}": ["ab" * 32]},
    }

    with pytest.raises(MalformedError, match="is missing"):
        AttestationVariant.from_fields(Fields(document, "policy"))
    for named in ("sha256.pcr4", "sha384.pcr7"):
        size = 48 if named.startswith("sha384") else 32
        document["measurements"] = {named: ["ab" * size]}
        variant = AttestationVariant.from_fields(Fields(document, "policy"))
        assert list(variant.measurements) == [named]


def ima_evidence(forger: ForgedTPM, log: Sequence[str], proved: Sequence[bytes]) -> Evidence:
    """A good boot, and PCR 10 extended by ``proved``, which ``log`` may tell as it likes."""
    registers = {("sha256", index): value for index, value in BOOTED.items()}
    registers["sha256", 10] = extended(proved)
    logs = {
        "event_log": write_event_log(GOOD.events()),
        "ima_log": "".join(f"10 {entry}\n" for entry in log).encode(),
    }
    return forger.evidence(dict(sorted(registers.items())), logs=logs)


BOOTED = {
    index: extended([hashed(event.content) for event in GOOD.events() if event.index == index])
    for index in ALL
}
AGGREGATE = hashed(b"".join(BOOTED[index] for index in range(10)))
ONES, GOOD_FILE = b"\xff" * 32, hashed(b"good")


def told(digest: bytes, name: str, template: str = "a", algorithm: str = "sha256") -> str:
    return f"{template * 40} ima-ng {algorithm}:{digest.hex()} {name}"


def ima_policy(evidence: Evidence, forger: ForgedTPM) -> AttestationVariant:
    """Admits the good boot and the good file."""
    components = claims_of(evidence, forger).components
    rules = [{"digest": item.digest.hex()} for item in components if item.kind == "boot"]
    rules.append({"digest": GOOD_FILE.hex(), "kind": "ima"})
    return policy(rules, ("event_log", "ima_log"))


FIRST = (told(AGGREGATE, "boot_aggregate"), hashed(_ima_ng(AGGREGATE, "boot_aggregate")))
SECOND = (told(GOOD_FILE, "/bin/good"), hashed(_ima_ng(GOOD_FILE, "/bin/good")))


def test_measured_files_of_this_boot_are_admitted(forger: ForgedTPM) -> None:
    """Joined to it by the first entry."""
    evidence = ima_evidence(forger, [FIRST[0], SECOND[0]], [FIRST[1], SECOND[1]])
    claims = claims_of(evidence, forger)

    assert judge(evidence, forger, ima_policy(evidence, forger)).admitted
    assert claims.attributes["boot_aggregate"] is True
    assert claims.attributes["unjoined_ima_log"] is False


@pytest.mark.parametrize(
    ("digest", "name"),
    [(bytes(32), "/evil"), (GOOD_FILE, "/bin/good")],
    ids=["as it is", "as an admitted file"],
)
def test_a_violation_cannot_be_told_as_an_admitted_file(
    forger: ForgedTPM, digest: bytes, name: str
) -> None:
    """A kernel extends ones for it, so that its fields in the log are anybody's."""
    log = [FIRST[0], SECOND[0], told(digest, name, template="0")]
    evidence = ima_evidence(forger, log, [FIRST[1], SECOND[1], ONES])

    assert claims_of(evidence, forger).components[-1].digest == bytes(32)
    with pytest.raises(AppraisalError):
        judge(evidence, forger, ima_policy(evidence, forger))


def test_a_violation_joins_no_log_to_a_boot(forger: ForgedTPM) -> None:
    """Nor is it left out as if it did: a first file could hide behind the name."""
    log = [told(AGGREGATE, "boot_aggregate", template="0"), SECOND[0]]
    evidence = ima_evidence(forger, log, [ONES, SECOND[1]])
    claims = claims_of(evidence, forger)

    assert claims.attributes["unjoined_ima_log"] is True
    assert [item.digest for item in claims.components if item.kind == "ima"] == [
        bytes(32),
        GOOD_FILE,
    ]


def test_a_log_of_files_that_nothing_joins_to_the_boot_is_not_admitted(
    forger: ForgedTPM,
) -> None:
    """Unless a policy says so: some kernels take the digest of a bank that was not quoted."""
    evidence = ima_evidence(forger, [SECOND[0]], [SECOND[1]])
    variant = ima_policy(evidence, forger)

    with pytest.raises(AppraisalError, match="unjoined_ima_log"):
        judge(evidence, forger, variant)
    attributes = {**variant.attributes, "unjoined_ima_log": (True,)}
    assert judge(evidence, forger, replace(variant, attributes=attributes)).admitted
