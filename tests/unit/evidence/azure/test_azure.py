# SPDX-License-Identifier: Apache-2.0
"""Azure evidence is hardware, paravisor and vTPM: what it proves, and what breaks the chain."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.unit.evidence.azure.conftest import BINDING, NOW, REPORT_DATA

from accord.encoding import Fields, sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    AppraisalError,
    BindingMismatchError,
    CollateralMismatchError,
    DebugRefusedError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    LogMismatchError,
)
from accord.evidence import (
    PRODUCTION_ROOTS,
    Claims,
    Evidence,
    RootKind,
    Verified,
    appraise,
    link,
    parse,
    verify,
    verify_unbound,
)
from accord.evidence.azure import ParsedAzure
from accord.policy import FAMILIES, Assurance, AttestationVariant, Family
from accord.testing import SimulatedAzure, SimulatedTDX
from accord.testing._azure import NV_INDEX_BYTES, SETTINGS, write_hcl_report
from accord.testing._pki import raw_signature
from accord.testing._snp_report import DEBUG, MIGRATE_MA, POLICY
from accord.testing._tpm_boot import SimulatedBoot

HARDWARE_AT, RUNTIME_AT = 32, 1236


def unbound(evidence: Evidence, *machines: SimulatedAzure | SimulatedTDX) -> Verified:
    anchors = [machine.root_digest for machine in machines]
    return verify_unbound(evidence, anchors=anchors, now=NOW)


def changed(evidence: Evidence, **aux: bytes | None) -> Evidence:
    """``evidence`` with other attachments; None takes one away."""
    kept = {name: data for name, data in evidence.aux.items() if name not in aux}
    given = {name: data for name, data in aux.items() if data is not None}
    return replace(evidence, aux=kept | given)


def patched(data: bytes, at: int, change: bytes) -> bytes:
    return data[:at] + change + data[at + len(change) :]


def runtime_of(evidence: Evidence) -> bytes:
    size = int.from_bytes(evidence.blob[RUNTIME_AT - 4 : RUNTIME_AT], "little")
    return evidence.blob[RUNTIME_AT : RUNTIME_AT + size]


def test_amds_hardware_vouches_for_a_vtpm(machine: SimulatedAzure, evidence: Evidence) -> None:
    """The paravisor's measurement, the VM's registers, and both bindings."""
    claims, bound = unbound(evidence, machine)

    assert (claims.family, claims.root) == (Family.AZURE, machine.root_digest)
    assert (
        claims.measurements["snp.measurement"]
        == machine.snp.report(next(iter(machine.snp.certificates))).measurement
    )
    assert len(claims.measurements["sha256.pcr4"]) == 32
    assert dict(bound) == {"report_data": REPORT_DATA, "azure": link("azure", REPORT_DATA)}
    assert [item.what for item in claims.chain] == [
        "vTPM attestation key",
        "SEV-VCEK",
        "SEV-Genoa",
        "ARK-Genoa",
    ]
    assert [item.name for item in claims.components][-2:] == ["/usr/bin/init", "/usr/bin/program"]


def test_intels_hardware_vouches_for_a_vtpm(tdx: SimulatedTDX, on_intel: Evidence) -> None:
    """The TD's measurements come from the quote, its rating is an attribute."""
    claims, bound = unbound(on_intel, tdx)

    assert claims.measurements["tdx.mrtd"] == tdx.measurements["mrtd"]
    assert (claims.attributes["hardware"], claims.attributes["tdx.tcb_status"]) == (
        "tdx",
        "UpToDate",
    )
    assert sorted(bound) == ["azure", "report_data"]
    assert claims.tcb is not None


@pytest.mark.parametrize("name", ["evidence", "on_intel"])
def test_simulated_evidence_is_never_hardware(
    name: str, machine: SimulatedAzure, tdx: SimulatedTDX, request: pytest.FixtureRequest
) -> None:
    """Its roots are test roots, and no production root vouches for it."""
    evidence: Evidence = request.getfixturevalue(name)
    claims = unbound(evidence, machine, tdx).claims

    assert (claims.root_kind, claims.assurance) == (RootKind.TEST, Assurance.SIMULATED)
    with pytest.raises(AnchorUnknownError):
        verify_unbound(evidence, anchors=list(PRODUCTION_ROOTS), now=NOW)


@pytest.mark.parametrize("name", ["evidence", "on_intel"])
def test_every_claim_can_be_named_by_a_policy(
    name: str, machine: SimulatedAzure, tdx: SimulatedTDX, request: pytest.FixtureRequest
) -> None:
    """Names and types are those that policies know."""
    known = FAMILIES[Family.AZURE]
    claims = unbound(request.getfixturevalue(name), machine, tdx).claims

    assert claims.measurements.keys() - known.measurements.keys() == set()
    assert {key: type(value) for key, value in claims.attributes.items()} == {
        key: known.attributes[key] for key in claims.attributes
    }


def variant(claims: Claims, **changes: Any) -> AttestationVariant:
    document = {
        "family": "azure",
        "simulated": True,
        "measurements": {
            name: [claims.measurements[name].hex()]
            for name in ("snp.measurement", "sha256.pcr4", "sha256.pcr9")
        },
        **changes,
    }
    return AttestationVariant.from_fields(Fields(document, "variant"))


def test_a_policy_admits_paravisor_and_registers(
    machine: SimulatedAzure, evidence: Evidence
) -> None:
    """Verified as bound, and appraised."""
    claims = verify(evidence, anchors=machine.anchors, now=NOW, binding=BINDING)

    assert appraise(claims, [variant(claims)], now=NOW).variant == 0


def test_an_evil_boot_is_not_hidden_by_quoting_other_registers(
    machine: SimulatedAzure, evidence: Evidence
) -> None:
    """Root of the VM asks its vTPM, and chooses what for."""
    claims = unbound(evidence, machine).claims
    rules = variant(
        claims,
        measurements={"snp.measurement": [claims.measurements["snp.measurement"].hex()]},
        attributes={"tpm.event_log": [True]},
        components=[{"digest": item.digest.hex()} for item in claims.components],
    )
    evil = SimulatedBoot(kernel=b"evil", command_line="init=/evil", files={})
    everything = machine.collect(REPORT_DATA, boot=evil)
    some = machine.collect(REPORT_DATA, boot=evil, selection={"sha256": [4, 5, 10]})

    assert appraise(claims, [rules], now=NOW).variant == 0
    with pytest.raises(AppraisalError):
        appraise(unbound(everything, machine).claims, [rules], now=NOW)
    with pytest.raises(LogMismatchError, match="not quoted"):
        unbound(some, machine)


def test_files_alone_name_no_kernel(machine: SimulatedAzure, evidence: Evidence) -> None:
    """A kernel that nobody attested extends PCR 10 as it likes."""
    claims = unbound(evidence, machine).claims

    with pytest.raises(AccordError, match="is missing"):
        variant(
            claims,
            measurements={"snp.measurement": [claims.measurements["snp.measurement"].hex()]},
            attributes={"tpm.ima_log": [True]},
            components=[{"digest": item.digest.hex()} for item in claims.components],
        )


@pytest.mark.parametrize(
    "named", [["snp.measurement"], ["sha256.pcr4"], ["snp.measurement", "sha1.pcr4"]]
)
def test_a_policy_must_name_paravisor_and_boot(
    named: list[str], machine: SimulatedAzure, evidence: Evidence
) -> None:
    """One without the other would admit any paravisor, or any system."""
    claims = unbound(evidence, machine).claims
    values = {name: [claims.measurements.get(name, bytes(20)).hex()] for name in named}

    with pytest.raises(AccordError, match="is missing"):
        variant(claims, measurements=values)


@pytest.mark.parametrize(
    ("settings", "hardware", "field"),
    [
        ({"secure-boot": False}, {}, "secure_boot"),
        ({"tpm-enabled": False}, {}, "tpm_enabled"),
        ({"of-tomorrow": True}, {}, "unsafe_settings"),
        ({"": "debug-everything"}, {}, "unsafe_settings"),
        ({}, {"policy": POLICY | MIGRATE_MA}, "unsafe_settings"),
        ({}, {"vmpl": 1}, "unsafe_settings"),
        ({}, {"policy": POLICY | DEBUG}, "debug"),
    ],
)
def test_weak_settings_are_refused_unless_a_policy_names_them(
    settings: Mapping[str, Any], hardware: Mapping[str, Any], field: str, machine: SimulatedAzure
) -> None:
    """Whatever the hardware's own family would refuse, and what nobody knows."""
    evidence = machine.collect(REPORT_DATA, settings={**SETTINGS, **settings}, **hardware)
    claims = verify(evidence, anchors=machine.anchors, now=NOW, binding=BINDING)

    with pytest.raises(AppraisalError) as refused:
        appraise(claims, [variant(claims)], now=NOW)

    assert [reason.field for reason in refused.value.details["reasons"][0]] == [field]  # type: ignore[index]
    if field != "debug":
        named = variant(claims, attributes={field: [claims.attributes[field]]})
        assert appraise(claims, [named], now=NOW).variant == 0


def test_settings_say_what_is_unsafe(machine: SimulatedAzure, tdx: SimulatedTDX) -> None:
    """In words that a policy can repeat."""
    on_amd = machine.collect(REPORT_DATA, vmpl=2, policy=POLICY | MIGRATE_MA)
    on_intel = machine.collect(REPORT_DATA, tdx=tdx, td_attributes=0)

    assert unbound(on_amd, machine).claims.attributes["unsafe_settings"] == (
        "snp.policy.migrate_ma=true,snp.vmpl=2"
    )
    assert unbound(on_intel, tdx).claims.attributes["unsafe_settings"] == (
        "tdx.sept_ve_disable=false"
    )


def test_hardware_that_its_vendor_rates_worse_is_unsafe(
    tdx: SimulatedTDX, on_intel: Evidence
) -> None:
    """AMD rates nothing; a rating of Intel is one more setting that a policy must name."""
    old = tdx.collateral.qe_identity.replace('"UpToDate"', '"OutOfDate"')
    signature = raw_signature(tdx.platform.vendor.keys.tcb_signer, old.encode())
    collateral = replace(tdx.collateral, qe_identity=old, qe_identity_signature=signature)
    evidence = replace(on_intel, endorsements=collateral.to_endorsements())

    claims = unbound(evidence, tdx).claims

    assert claims.attributes["unsafe_settings"] == "tdx.tcb_status=OutOfDate"
    assert claims.attributes["tdx.tcb_status"] == "OutOfDate"


def test_a_debug_td_is_refused(machine: SimulatedAzure, tdx: SimulatedTDX) -> None:
    """As on TDX itself."""
    with pytest.raises(DebugRefusedError):
        unbound(machine.collect(REPORT_DATA, tdx=tdx, td_attributes=1), tdx)


def test_without_user_data_the_nonce_binds(machine: SimulatedAzure) -> None:
    """An index that nobody wrote holds zeros; the vTPM's quote carries the nonce."""
    evidence = machine.collect(REPORT_DATA, user_data=b"")

    assert sorted(unbound(evidence, machine).bound) == ["azure"]
    assert verify(evidence, anchors=machine.anchors, now=NOW, binding=BINDING).debug is False


def test_without_a_quote_nothing_booted_is_known(
    machine: SimulatedAzure, evidence: Evidence
) -> None:
    """User data bind the report, but no policy admits a VM whose registers nobody knows."""
    alone = changed(evidence, tpm_quote=None)

    claims, bound = unbound(alone, machine)

    assert sorted(bound) == ["report_data"]
    with pytest.raises(AppraisalError, match=r"tpm\.clock_safe is absent"):
        appraise(claims, [variant(unbound(evidence, machine).claims)], now=NOW)


def test_bound_to_nothing_is_refused(machine: SimulatedAzure) -> None:
    """A report that anybody read at any time."""
    evidence = changed(machine.collect(REPORT_DATA, user_data=b""), tpm_quote=None)

    with pytest.raises(EvidenceMalformedError, match="bound to nothing"):
        verify(evidence, anchors=machine.anchors, now=NOW, binding=BINDING)


@pytest.mark.parametrize("user_data", [b"\1" * 64, REPORT_DATA[:32]])
def test_user_data_of_another_request_are_refused(
    user_data: bytes, machine: SimulatedAzure
) -> None:
    """Both bindings must hold, not one of them."""
    evidence = machine.collect(REPORT_DATA, user_data=user_data)

    with pytest.raises(BindingMismatchError):
        verify(evidence, anchors=machine.anchors, now=NOW, binding=BINDING)


def test_a_quote_of_another_request_is_refused(machine: SimulatedAzure) -> None:
    """A replayed quote beside fresh user data."""
    evidence = machine.collect(bytes(64), user_data=REPORT_DATA)

    with pytest.raises(BindingMismatchError):
        verify(evidence, anchors=machine.anchors, now=NOW, binding=BINDING)


def test_a_quote_of_another_machine_is_refused(machine: SimulatedAzure, evidence: Evidence) -> None:
    """Its key is not the one that the paravisor names."""
    ours = json.loads(runtime_of(evidence))
    ours["keys"][0]["n"] = "w" * 342
    runtime = json.dumps(ours).encode()
    bound = hashlib.sha256(runtime).digest() + bytes(32)
    report = machine.snp.collect(bound)
    relayed = replace(evidence, blob=write_hcl_report(Family.SNP, report.blob, runtime))

    with pytest.raises(EvidenceSignatureError, match="TPM quote"):
        unbound(relayed, machine)


def test_changed_runtime_data_are_refused(machine: SimulatedAzure, evidence: Evidence) -> None:
    """The hardware signed their hash."""
    at = evidence.blob.index(b'"secure-boot":true') + len('"secure-boot":')

    with pytest.raises(EvidenceSignatureError, match="runtime data"):
        unbound(replace(evidence, blob=patched(evidence.blob, at, b"null")), machine)


def test_runtime_data_are_bound_in_all_of_the_report_data(
    machine: SimulatedAzure, evidence: Evidence
) -> None:
    """What follows the hash is zeros: nobody else put anything there."""
    runtime = runtime_of(evidence)
    report = machine.snp.collect(hashlib.sha256(runtime).digest() + b"\1" * 32)
    odd = replace(evidence, blob=write_hcl_report(Family.SNP, report.blob, runtime))

    with pytest.raises(EvidenceSignatureError, match="runtime data"):
        unbound(odd, machine)


def test_hardware_that_is_taken_for_the_other_is_refused(
    machine: SimulatedAzure, evidence: Evidence, on_intel: Evidence, tdx: SimulatedTDX
) -> None:
    """The kind of hardware is in a header that nobody signs."""
    kind_at = RUNTIME_AT - 12
    for other, number in ((evidence, 4), (on_intel, 2)):
        told = patched(other.blob, kind_at, number.to_bytes(4, "little"))
        with pytest.raises(EvidenceMalformedError):
            unbound(replace(other, blob=told), machine, tdx)


def test_a_td_report_without_quote_is_refused(tdx: SimulatedTDX, on_intel: Evidence) -> None:
    """Its MAC is of a key that never leaves the CPU."""
    with pytest.raises(EvidenceMalformedError, match="td_quote is missing"):
        unbound(changed(on_intel, td_quote=None), tdx)


def test_a_td_quote_of_another_moment_is_refused(
    machine: SimulatedAzure, tdx: SimulatedTDX, on_intel: Evidence
) -> None:
    """TDREPORT and quote must say the same, and carry the same data."""
    other = tdx.collect(bytes(64))

    with pytest.raises(CollateralMismatchError) as refused:
        unbound(changed(on_intel, td_quote=other.blob), tdx)

    assert refused.value.details["field"] == "report_data of the TDREPORT"


def test_a_td_report_with_other_fields_is_refused(tdx: SimulatedTDX, on_intel: Evidence) -> None:
    """Even with hashes that fit: it is not what was quoted."""
    info_at = HARDWARE_AT + 512
    info = patched(on_intel.blob[info_at : info_at + 512], 16, b"\1" * 48)
    blob = patched(on_intel.blob, info_at, info)
    blob = patched(blob, HARDWARE_AT + 80, hashlib.sha384(info).digest())

    with pytest.raises(CollateralMismatchError, match="mrtd of the TDREPORT"):
        unbound(replace(on_intel, blob=blob), tdx)


@pytest.mark.parametrize(
    ("at", "change"),
    [(0, b"\0"), (1, b"\1"), (32, b"\1"), (512, b"\1"), (1024, b"\1")],
    ids=["type", "subtype", "hash", "field", "padding"],
)
def test_a_malformed_td_report_is_refused(
    at: int, change: bytes, tdx: SimulatedTDX, on_intel: Evidence
) -> None:
    """Type, hashes of its parts, and the room after it."""
    blob = patched(on_intel.blob, HARDWARE_AT + at, change)

    with pytest.raises(EvidenceMalformedError, match="TDREPORT"):
        unbound(replace(on_intel, blob=blob), tdx)


def test_registers_that_were_not_quoted_are_refused(
    machine: SimulatedAzure, evidence: Evidence
) -> None:
    """The values beside a quote are as good as its digest."""
    line, rest = evidence.aux["pcrs"].split(b"\n", 1)
    other = b"0" if line[-1:] != b"0" else b"1"

    with pytest.raises(LogMismatchError):
        unbound(changed(evidence, pcrs=line[:-1] + other + b"\n" + rest), machine)


def test_a_log_of_another_boot_is_refused(machine: SimulatedAzure, evidence: Evidence) -> None:
    """The vTPM's logs are proved as those of every TPM."""
    other = machine.collect(REPORT_DATA, boot=SimulatedBoot(kernel=b"another kernel"))

    with pytest.raises(LogMismatchError):
        unbound(changed(evidence, event_log=other.aux["event_log"]), machine)


def test_certificates_expire_as_on_the_hardware_itself(
    machine: SimulatedAzure, evidence: Evidence
) -> None:
    """The vTPM's key has no certificate, and ends with its hardware's."""
    expires = unbound(evidence, machine).claims.collateral_expires
    assert expires is not None

    with pytest.raises(EvidenceExpiredError):
        verify_unbound(evidence, anchors=machine.anchors, now=expires.replace(year=2100))


def test_a_look_alike_root_is_refused(
    evidence: Evidence, machine: SimulatedAzure, tdx: SimulatedTDX
) -> None:
    """The names of AMD's root under another key; another family's root helps as little."""
    with pytest.raises(AnchorUnknownError):
        verify_unbound(evidence, anchors=[sha256(b"ARK-Genoa"), tdx.root_digest], now=NOW)


def test_evidence_can_be_shown(evidence: Evidence, on_intel: Evidence) -> None:
    """Taken apart, nothing verified."""
    shown = [parse(item) for item in (evidence, on_intel, changed(evidence, tpm_quote=None))]

    assert [isinstance(item, ParsedAzure) and item.bound for item in shown] == [True] * 3
    assert [isinstance(item, ParsedAzure) and item.vtpm is None for item in shown] == [
        False,
        False,
        True,
    ]


MUTATIONS: Mapping[str, Callable[[Evidence], range]] = {
    "evidence": lambda item: range(RUNTIME_AT + len(runtime_of(item))),
    "on_intel": lambda item: range(RUNTIME_AT + len(runtime_of(item))),
}


@pytest.mark.parametrize("name", MUTATIONS)
@hypothesis_settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_a_changed_byte_is_refused_or_was_never_signed(
    name: str,
    machine: SimulatedAzure,
    tdx: SimulatedTDX,
    request: pytest.FixtureRequest,
    data: st.DataObject,
) -> None:
    """Only the header's size, request and status, and what the quote repeats, are unsigned."""
    evidence: Evidence = request.getfixturevalue(name)
    at = data.draw(st.sampled_from(MUTATIONS[name](evidence)))
    flip = data.draw(st.integers(1, 255))
    blob = patched(evidence.blob, at, bytes([evidence.blob[at] ^ flip]))
    try:
        claims, bound = unbound(replace(evidence, blob=blob), machine, tdx)
    except AccordError:
        return
    good = unbound(evidence, machine, tdx)
    assert (claims, dict(bound)) == (good.claims, dict(good.bound))
    in_unsigned_header = at < HARDWARE_AT
    in_td_report = name == "on_intel" and at < RUNTIME_AT - 20
    assert in_unsigned_header or in_td_report


def test_the_report_fits_the_index(evidence: Evidence) -> None:
    """Guests read all of an NV index, zeros at its end included."""
    assert len(evidence.blob) == NV_INDEX_BYTES
    assert evidence.blob[RUNTIME_AT + len(runtime_of(evidence)) :].strip(b"\0") == b""
