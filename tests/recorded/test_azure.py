# SPDX-License-Identifier: Apache-2.0
"""Recordings of Azure confidential VMs: of several machines, so that no two belong together."""

import hashlib
import struct
from base64 import b64decode
from datetime import UTC, datetime

import pytest
from tests.support.recorded import EVIDENCE, index, needs_evidence

from accord.encoding import sha256
from accord.errors import EvidenceMalformedError, EvidenceSignatureError
from accord.evidence import PRODUCTION_ROOTS, Evidence, RootKind, verify_unbound
from accord.evidence._certificate import load_certificates
from accord.evidence._chain import check_chain_period, verify_chain
from accord.evidence.amd import Report
from accord.evidence.azure import parse_azure, parse_runtime_data
from accord.evidence.tpm import format_registers, pack_quote
from accord.policy import Family

pytestmark = needs_evidence

_AZURE = "azure/azure-cvm-tooling/"
_NOW = datetime(2024, 6, 1, tzinfo=UTC)
_ROOTS = tuple(PRODUCTION_ROOTS)

COVERS = {
    f"{_AZURE}hcl-report-snp.bin": "its runtime data are bound to its SNP report",
    f"{_AZURE}certs.pem": "a VCEK and AMD's authorities, of another chip than the report's",
    f"{_AZURE}hcl-report-tdx.bin": "its runtime data are bound to its TDREPORT; no quote",
    f"{_AZURE}quote.bin": "a vTPM's quote, signed by akpub.pem",
    f"{_AZURE}akpub.pem": "the key of quote.bin",
    f"{_AZURE}var-data.bin": "runtime data alone, of yet another machine",
}
"""What each recorded file is, and the outcome it must have."""


def data_of(name: str) -> bytes:
    return (EVIDENCE / f"{_AZURE}{name}").read_bytes()


def test_every_recorded_file_of_azure_is_used_here() -> None:
    """Nothing that was recorded is forgotten."""
    assert set(COVERS) == {name for name in index() if name.startswith("azure/")}


@pytest.mark.parametrize(
    ("name", "family", "vm", "secure_boot"),
    [
        ("hcl-report-snp.bin", Family.SNP, "BAEFD3E1-184B-4C4C-AB88-0BDAD260505F", True),
        ("hcl-report-tdx.bin", Family.TDX, "D270E56B-F668-4990-A5BC-9B624576841D", False),
    ],
)
def test_runtime_data_are_bound_to_the_hardwares_report(
    name: str, family: Family, vm: str, *, secure_boot: bool
) -> None:
    """Both kinds of hardware carry the SHA-256 of the JSON beside them."""
    parsed = parse_azure(Evidence(Family.AZURE, data_of(name)))

    assert (parsed.report.hardware, parsed.bound) == (family, True)
    assert parsed.runtime.settings["vm_unique_id"] == vm
    assert parsed.runtime.settings["secure_boot"] is secure_boot
    assert (parsed.runtime.user_data, parsed.runtime.unknown_settings) == (b"", ())


def test_the_certificates_are_genuine_and_of_another_chip() -> None:
    """AMD issued them; the report was made by a chip that they do not name."""
    chain = load_certificates(data_of("certs.pem"), what="certs.pem")
    hardware = parse_azure(Evidence(Family.AZURE, data_of("hcl-report-snp.bin"))).hardware
    assert isinstance(hardware, Report)

    root = verify_chain(chain, anchors=_ROOTS, what="certs.pem")
    check_chain_period(chain, _NOW)

    assert PRODUCTION_ROOTS[root.digest] == "ARK-Milan"
    assert hardware.chip_id not in chain[0].der


def test_a_report_is_refused_with_the_certificates_of_another_chip() -> None:
    """A key of the same vendor and product did not sign it."""
    evidence = Evidence(Family.AZURE, data_of("hcl-report-snp.bin"), {"vcek": data_of("certs.pem")})

    with pytest.raises(EvidenceSignatureError, match="not signed by the VCEK"):
        verify_unbound(evidence, anchors=_ROOTS, now=_NOW)


def test_a_td_report_alone_proves_nothing() -> None:
    """Only the CPU that made it can check a TDREPORT; a quote must come with it."""
    evidence = Evidence(Family.AZURE, data_of("hcl-report-tdx.bin"))

    with pytest.raises(EvidenceMalformedError, match="td_quote is missing"):
        verify_unbound(evidence, anchors=_ROOTS, now=_NOW)


def vtpm_quote(message_change: int = 0) -> Evidence:
    """quote.bin (signature, TPMS_ATTEST and PCRs, each after 64 bits of size) as ours."""
    data, at, lists = data_of("quote.bin"), 0, []
    for _ in range(2):
        (size,) = struct.unpack_from("<Q", data, at)
        lists.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    signature, attested = lists
    (count,) = struct.unpack_from("<Q", data, at)
    at += 8
    registers = {("sha256", index): data[at + 32 * index :][:32] for index in range(count)}
    assert at + 32 * count == len(data)
    attested = bytes((*attested[:-1], attested[-1] ^ message_change))
    rsassa_sha256 = bytes.fromhex("0014000b0100")
    key = b64decode("".join(data_of("akpub.pem").decode().splitlines()[1:-1]))
    return Evidence(
        Family.TPM,
        pack_quote(attested, rsassa_sha256 + signature),
        aux={"ak_spki": key, "pcrs": format_registers(registers)},
    )


def test_a_vtpms_quote_is_signed_by_its_key() -> None:
    """Registers, nonce and signature of quote.bin agree, under akpub.pem."""
    evidence = vtpm_quote()

    claims, bound = verify_unbound(evidence, anchors=(sha256(evidence.aux["ak_spki"]),), now=_NOW)

    assert (claims.root_kind, dict(bound)) == (RootKind.TEST, {"tpm": b"challenge"})
    assert len(claims.measurements) == 24
    assert claims.measurements["sha256.pcr17"] == b"\xff" * 32


def test_a_changed_vtpm_quote_is_refused() -> None:
    """One bit of what quote.bin says."""
    evidence = vtpm_quote(message_change=1)

    with pytest.raises(EvidenceSignatureError):
        verify_unbound(evidence, anchors=(sha256(evidence.aux["ak_spki"]),), now=_NOW)


def test_runtime_data_can_be_read_alone() -> None:
    """var-data.bin is JSON that belongs to neither report."""
    data = data_of("var-data.bin")

    runtime = parse_runtime_data(data)

    assert runtime.settings == {
        "secure_boot": True,
        "console_enabled": True,
        "tpm_enabled": True,
        "vm_unique_id": "3404EF27-32A2-4A07-A4C7-1A1171624C5D",
    }
    digest = hashlib.sha256(data).digest()
    for name in ("hcl-report-snp.bin", "hcl-report-tdx.bin"):
        assert digest not in data_of(name)
