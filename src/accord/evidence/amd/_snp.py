# SPDX-License-Identifier: Apache-2.0
"""Verification of an AMD SEV-SNP attestation report (docs/spec/evidence/amd.md, 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from cryptography.hazmat.primitives.hashes import SHA384

from accord.encoding import Digest
from accord.errors import CollateralMismatchError, EnvironmentRefusedError, EvidenceMalformedError
from accord.evidence._certificate import Certificate
from accord.evidence._chain import (
    chain_expires,
    check_chain_period,
    check_not_revoked,
    check_period,
    endorsers,
    load_revocation_list,
    verify_chain,
)
from accord.evidence._claims import Claims, Endorser, Verified
from accord.evidence._evidence import Evidence, refuse_unknown
from accord.evidence._roots import root_kind
from accord.evidence._signature import verify_raw_ecdsa
from accord.evidence.amd._endorsements import Endorsements, read_endorsements
from accord.evidence.amd._product import Product, product_of_cpu, tcb_names
from accord.evidence.amd._report import (
    CPUID,
    ECDSA_P384_SHA384,
    WHAT,
    Firmware,
    GuestPolicy,
    PlatformInfo,
    Report,
    parse_report,
)
from accord.evidence.amd._vek import VEK, read_vek
from accord.policy import Family, Scalar

_SIGNING_KEYS = ("vcek", "vlek")  # SIGNING_KEY: 0 and 1; 7 is none at all
_MAX_GUEST_VMPL = 3


@dataclass(frozen=True, slots=True)
class ParsedSNP:
    """A report and the certificates that came with it, nothing verified."""

    report: Report
    keys: Mapping[str, Endorser]
    authorities: tuple[Endorser, ...]


def parse_snp(evidence: Evidence) -> ParsedSNP:
    """The report and certificates in ``evidence``, nothing verified.

    Raises ``EvidenceMalformedError``.
    """
    given = read_endorsements(evidence.endorsements)
    keys = {name: endorsers((item,))[0] for name, item in given.keys.items()}
    return ParsedSNP(
        parse_report(evidence.blob), MappingProxyType(keys), endorsers(given.authorities)
    )


def verify_snp(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of an SNP report and its report data, which is *not* compared here.

    Debug guests verify, with ``debug`` among the claims: no policy can admit them. Whether
    the guest policy, the VMPL and the TCB suffice is policy.

    Raises the errors of family ATT.
    """
    # (1) The bytes are a report; every reserved field is as its version says.
    report = parse_report(evidence.blob)
    refuse_unknown("attachments", evidence.aux)
    # (2) The guest asked for it, and a key signed it that AMD certifies.
    name = _check_origin(report)
    # (3) That key's certificate is issued by AMD, up to a root that is pinned by its bytes.
    given = read_endorsements(evidence.endorsements)
    chain = given.chain(name)
    verify_chain(chain, anchors=anchors, what=name.upper())
    # (4) and (5) None of them is revoked, and all are valid now.
    expires = _check_validity(chain, given, now)
    # (6) The certificate says whose key it is: product, TCB version, chip or cloud provider.
    vek = read_vek(chain, loaded=name == "vlek")
    # (7) The key signed the first 0x2A0 bytes of the report (56860, 7.3 and chapter 10).
    verify_raw_ecdsa(
        vek.key, report.signature, report.signed, SHA384(), what=WHAT, by=f"the {name.upper()}"
    )
    # (8) to (10) Report and certificate speak of the same machine.
    _check_same_machine(report, vek)
    # (11) What is proved.
    claims = Claims(
        family=Family.SNP,
        root=chain[-1].digest,
        root_kind=root_kind(chain[-1].digest),
        measurements=_measurements(report),
        debug=report.policy.debug,
        tcb=None,
        # A VCEK names its chip even where the host masks CHIP_ID; a VLEK names none.
        instance_id=vek.chip_id or (report.chip_id if any(report.chip_id) else b""),
        collateral_expires=expires,
        attributes=_attributes(report, vek, name, revocation_checked=given.revocations is not None),
        chain=endorsers(chain),
    )
    return Verified(claims, MappingProxyType({"report_data": report.report_data}))


def _check_origin(report: Report) -> str:
    """Step (2): which endorsement the report needs."""
    # A report that the host asked for (SNP_HV_REPORT_REQ) has VMPL 0xFFFFFFFF, and says
    # nothing on behalf of the guest.
    if report.vmpl > _MAX_GUEST_VMPL:
        raise EnvironmentRefusedError(
            field="VMPL", actual=f"{report.vmpl:#x}", expected="0 to 3: asked for by the guest"
        )
    if report.signature_algorithm != ECDSA_P384_SHA384:
        raise EvidenceMalformedError(
            what=WHAT, detail=f"signature algorithm {report.signature_algorithm} is unknown"
        )
    if report.signing_key >= len(_SIGNING_KEYS):
        raise EnvironmentRefusedError(
            field="SIGNING_KEY", actual=str(report.signing_key), expected="0 (VCEK) or 1 (VLEK)"
        )
    return _SIGNING_KEYS[report.signing_key]


def _check_validity(chain: tuple[Certificate, ...], given: Endorsements, now: datetime) -> datetime:
    """Steps (4) and (5); returns the last second at which all of it is valid."""
    _, authority, root = chain
    expires = chain_expires(chain)
    # (4) The root's list, where one is given, names neither root nor authority. Chips cannot
    # be revoked by it: their certificates all have serial number 0.
    if given.revocations is not None:
        revocations = load_revocation_list(given.revocations, root)
        check_not_revoked(authority, revocations)
        check_not_revoked(root, revocations)
        check_period(revocations.what, revocations.not_before, revocations.not_after, now)
        expires = min(expires, revocations.not_after)
    # (5) All certificates are within their periods.
    check_chain_period(chain, now)
    return expires


def _check_same_machine(report: Report, vek: VEK) -> None:
    """Steps (8) to (10) of docs/spec/evidence/amd.md, 5."""
    # (8) The CPU is of the product whose root it is; before version 3 a report does not say.
    if report.cpuid is not None:
        product = product_of_cpu(report.cpuid.family, report.cpuid.model)
        if product is not vek.product:
            found = f"{report.cpuid.family:#04x}/{report.cpuid.model:#04x} ({product})"
            raise CollateralMismatchError(
                field="CPUID family and model", actual=found, expected=vek.product
            )
    # (9) The key was derived for the reported TCB (57230, 1.3): byte for byte.
    if report.reported_tcb != vek.tcb:
        raise CollateralMismatchError(
            field="REPORTED_TCB", actual=report.reported_tcb.hex(), expected=vek.tcb.hex()
        )
    # (10) The chip is the VCEK's; a host may mask CHIP_ID (56860, 8.5, MASK_CHIP_ID).
    if vek.chip_id and any(report.chip_id) and report.chip_id != vek.chip_id:
        raise CollateralMismatchError(
            field="CHIP_ID", actual=report.chip_id.hex(), expected=vek.chip_id.hex()
        )


def _measurements(report: Report) -> Mapping[str, bytes]:
    return MappingProxyType(
        {
            "measurement": report.measurement,
            "host_data": report.host_data,
            "id_key_digest": report.id_key_digest,
            "author_key_digest": report.author_key_digest,
            "family_id": report.family_id,
            "image_id": report.image_id,
            "report_id": report.report_id,
            "report_id_ma": report.report_id_ma,
        }
    )


def _attributes(
    report: Report, vek: VEK, signing_key: str, *, revocation_checked: bool
) -> Mapping[str, Scalar]:
    """Everything but measurements; what a version or key does not say is absent."""
    found: dict[str, Scalar] = {
        "version": report.version,
        "guest_svn": report.guest_svn,
        "vmpl": report.vmpl,
        "product": vek.product.value,
        "signing_key": signing_key,
        "author_key": report.author_key_enabled,
        "chip_key_masked": report.chip_key_masked,
        "chip_id_masked": not any(report.chip_id),
        "revocation_checked": revocation_checked,
    }
    found |= _fields("policy", report.policy)
    found |= _fields("platform_info", report.platform_info)
    for name, raw in (
        ("reported", report.reported_tcb),
        ("committed", report.committed_tcb),
        ("launch", report.launch_tcb),
        ("current", report.current_tcb),
    ):
        found |= _components(f"tcb.{name}", raw, vek.product)
    found |= _firmware("firmware.current", report.current_firmware)
    found |= _firmware("firmware.committed", report.committed_firmware)
    if vek.csp_id:
        found["csp_id"] = vek.csp_id
    if report.cpuid is not None:
        found |= _fields("cpuid", report.cpuid)
    if report.mitigations is not None:
        found["mitigations.launch"] = report.mitigations.launch.hex()
        found["mitigations.current"] = report.mitigations.current.hex()
    return MappingProxyType(found)


def _fields(prefix: str, item: GuestPolicy | PlatformInfo | CPUID) -> dict[str, Scalar]:
    return {f"{prefix}.{name}": getattr(item, name) for name in item.__slots__}


def _components(prefix: str, raw: bytes, product: Product) -> dict[str, Scalar]:
    return {f"{prefix}.{name}": raw[at] for at, name in tcb_names(product).items()}


def _firmware(name: str, version: Firmware) -> dict[str, Scalar]:
    """A number, so that it can have a minimum: 1.55.29 is 0x01371D."""
    return {name: version.major << 16 | version.minor << 8 | version.build}
