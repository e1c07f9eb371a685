# SPDX-License-Identifier: Apache-2.0
"""Verification of an Azure confidential VM (docs/spec/evidence/azure.md, 4).

The hardware vouches for the paravisor, which says by its hash of the runtime data which key
attests for its vTPM; the vTPM vouches for what was booted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from accord.encoding import Digest, sha256
from accord.errors import CollateralMismatchError, EvidenceMalformedError, EvidenceSignatureError
from accord.evidence._claims import Claims, Endorser, Verified
from accord.evidence._evidence import Evidence, refuse_unknown
from accord.evidence.amd import Report, parse_report, verify_snp
from accord.evidence.azure._report import HCLReport, parse_hcl_report
from accord.evidence.azure._runtime import RuntimeData, parse_runtime_data
from accord.evidence.azure._tdreport import TDReport, parse_td_report
from accord.evidence.intel import parse_tdx, verify_tdx
from accord.evidence.tpm import ParsedTPM, parse_tpm, verify_tpm
from accord.policy import FAMILIES, Family, Scalar

TD_QUOTE: Final = "td_quote"
TPM_QUOTE: Final = "tpm_quote"
_OF_TPM = ("pcrs", "event_log", "ima_log", "ima_keys")
"""Attachments that go with the vTPM's quote, as `Family.TPM` defines them."""

_AK: Final = "vTPM attestation key"


@dataclass(frozen=True, slots=True)
class ParsedAzure:
    """Everything in the evidence, taken apart, nothing verified.

    ``bound`` says whether the hardware's report carries the hash of the runtime data.
    """

    report: HCLReport
    hardware: Report | TDReport
    runtime: RuntimeData
    bound: bool
    td_quote: object
    vtpm: ParsedTPM | None


def parse_azure(evidence: Evidence) -> ParsedAzure:
    """What is in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    report = parse_hcl_report(evidence.blob)
    runtime = parse_runtime_data(report.runtime)
    parse = parse_report if report.hardware is Family.SNP else parse_td_report
    hardware: Report | TDReport = parse(report.hardware_report)
    return ParsedAzure(
        report=report,
        hardware=hardware,
        runtime=runtime,
        bound=report.binds(hardware.report_data),
        td_quote=parse_tdx(_td_quote(evidence)) if TD_QUOTE in evidence.aux else None,
        vtpm=parse_tpm(_vtpm(evidence, runtime)) if TPM_QUOTE in evidence.aux else None,
    )


def verify_azure(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of hardware, paravisor and vTPM together, and what they are bound to.

    Bound are the user data in the runtime data, where somebody wrote some, and the nonce of
    the vTPM's quote, where there is one; neither is compared here. Without a quote nothing is
    known of what was booted. What the paravisor says of the VM is as good as the paravisor,
    which the policy names by its measurement.

    Raises the errors of family ATT.
    """
    # (1) The bytes are an HCL report.
    report = parse_hcl_report(evidence.blob)
    refuse_unknown("attachments", evidence.aux, {TD_QUOTE, TPM_QUOTE, *_OF_TPM})
    # (2) The hardware's report is genuine.
    verify_hardware = _verify_snp if report.hardware is Family.SNP else _verify_td
    hardware, report_data = verify_hardware(evidence, report, anchors=anchors, now=now)
    # (3) It carries the hash of the runtime data.
    if not report.binds(report_data):
        raise EvidenceSignatureError(
            what="runtime data", expected="the hardware's report (its report data differ)"
        )
    # (4) Only then is read what the runtime data say.
    runtime = parse_runtime_data(report.runtime)
    bound = {"report_data": runtime.user_data} if runtime.user_data else {}
    # (5) The vTPM's quote is signed by the key that the runtime data name.
    vtpm: Claims | None = None
    if TPM_QUOTE in evidence.aux:
        vtpm, slots = verify_tpm(
            _vtpm(evidence, runtime), anchors=(sha256(runtime.ak_spki),), now=now
        )
        bound[Family.AZURE.value] = slots[Family.TPM.value]
    # (6) What all of that says.
    return Verified(_claims(hardware, runtime, vtpm), MappingProxyType(bound))


def _vtpm(evidence: Evidence, runtime: RuntimeData) -> Evidence:
    """The vTPM's quote as evidence of a TPM, whose key nobody can choose but the paravisor."""
    aux = {name: evidence.aux[name] for name in _OF_TPM if name in evidence.aux}
    return Evidence(
        Family.TPM,
        evidence.aux[TPM_QUOTE],
        aux=MappingProxyType(aux | {"ak_spki": runtime.ak_spki}),
    )


def _td_quote(evidence: Evidence) -> Evidence:
    if TD_QUOTE not in evidence.aux:
        raise EvidenceMalformedError(
            what="TDREPORT", detail=f"proves nothing away from its CPU: {TD_QUOTE} is missing"
        )
    return Evidence(Family.TDX, evidence.aux[TD_QUOTE], evidence.endorsements)


def _verify_snp(
    evidence: Evidence, report: HCLReport, *, anchors: Sequence[Digest], now: datetime
) -> tuple[Claims, bytes]:
    """Step (2) on AMD: the report itself is signed."""
    given = Evidence(Family.SNP, report.hardware_report, evidence.endorsements)
    claims, slots = verify_snp(given, anchors=anchors, now=now)
    return claims, slots["report_data"]


def _verify_td(
    evidence: Evidence, report: HCLReport, *, anchors: Sequence[Digest], now: datetime
) -> tuple[Claims, bytes]:
    """Step (2) on Intel: a quote is signed, and says the same as the TDREPORT."""
    td_report = parse_td_report(report.hardware_report)
    claims, slots = verify_tdx(_td_quote(evidence), anchors=anchors, now=now)
    told = {**td_report.fields, "report_data": td_report.report_data}
    quoted = {**claims.measurements, **slots}
    for name, actual in told.items():
        if actual != quoted[name]:
            raise CollateralMismatchError(
                field=f"{name} of the TDREPORT", actual=actual.hex(), expected=quoted[name].hex()
            )
    return claims, slots["report_data"]


def _claims(hardware: Claims, runtime: RuntimeData, vtpm: Claims | None) -> Claims:
    prefix = hardware.family.value
    measurements = {f"{prefix}.{name}": item for name, item in hardware.measurements.items()}
    attributes: dict[str, Scalar] = {
        "hardware": prefix,
        "unsafe_settings": ",".join(_unsafe(hardware, runtime)),
        **runtime.settings,
        **{f"{prefix}.{name}": item for name, item in hardware.attributes.items()},
    }
    if hardware.tcb is not None:
        attributes[f"{prefix}.tcb_status"] = hardware.tcb.status
        attributes[f"{prefix}.tcb_evaluation_number"] = hardware.tcb.evaluation_number
        attributes[f"{prefix}.advisories"] = ",".join(hardware.tcb.advisories)
    if vtpm is not None:
        measurements |= vtpm.measurements
        attributes |= {
            f"tpm.{name}": item for name, item in vtpm.attributes.items() if name != "ak_issuer"
        }
    key = Endorser(_AK, sha256(runtime.ak_spki), None, None)
    return replace(
        hardware,
        family=Family.AZURE,
        measurements=MappingProxyType(measurements),
        attributes=MappingProxyType(attributes),
        components=hardware.components + (() if vtpm is None else vtpm.components),
        chain=(key, *hardware.chain),
    )


def _unsafe(hardware: Claims, runtime: RuntimeData) -> list[str]:
    """Settings that the hardware's own family would refuse unless a policy names them.

    One attribute stands for all, because which there are depends on the hardware. A setting
    of the paravisor that this program does not know may be anything.
    """
    prefix = hardware.family.value
    found = [
        f"{prefix}.{name}={_shown(hardware.attributes.get(name))}"
        for name, safe in FAMILIES[hardware.family].defaults.items()
        if hardware.attributes.get(name) not in safe
    ]
    if hardware.tcb is not None and hardware.tcb.status != "UpToDate":
        found.append(f"{prefix}.tcb_status={hardware.tcb.status}")
    # In quotes: an empty name, or one with a comma, would otherwise be none or another.
    return sorted([*found, *map(json.dumps, runtime.unknown_settings)])


def _shown(value: Scalar | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
