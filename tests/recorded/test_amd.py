# SPDX-License-Identifier: Apache-2.0
"""SEV-SNP reports of real machines, and AMD's real certificates."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from tests.support.recorded import EVIDENCE, index, needs_evidence

from accord.errors import ChainInvalidError, EvidenceExpiredError, EvidenceSignatureError
from accord.evidence import Evidence, RootKind, verify_unbound
from accord.evidence._certificate import load_certificates
from accord.evidence._chain import verify_chain
from accord.evidence._roots import PRODUCTION_ROOTS
from accord.evidence.amd import Product, read_vek
from accord.policy import Assurance, Family

pytestmark = needs_evidence

_GO, _SEV, _TRUSTEE = "snp/go-sev-guest/", "snp/sev/", "snp/trustee/"
_BUNDLES = {
    f"{_GO}ask_ark_milan.pem": ("SEV-Milan", "ARK-Milan"),
    f"{_GO}ask_ark_milan_vlek.pem": ("SEV-VLEK-Milan", "ARK-Milan"),
    f"{_GO}ask_ark_genoa.pem": ("SEV-Genoa", "ARK-Genoa"),
    f"{_GO}ask_ark_genoa_vlek.pem": ("SEV-VLEK-Genoa", "ARK-Genoa"),
    f"{_GO}ask_ark_turin_vcek.pem": ("SEV-Turin", "ARK-Turin"),
    f"{_GO}ask_ark_turin_vlek.pem": ("SEV-VLEK-Turin", "ARK-Turin"),
    f"{_GO}milan.testcer": ("SEV-Milan", "ARK-Milan"),
    f"{_GO}milanvlek.testcer": ("SEV-VLEK-Milan", "ARK-Milan"),
    f"{_SEV}cert_chain_milan": ("SEV-Milan", "ARK-Milan"),
    f"{_SEV}cert_chain_turin": ("SEV-Turin", "ARK-Turin"),
}

COVERS = {
    f"{_GO}attestation.bin": "verifies; its guest may be debugged",
    f"{_GO}vcek.testcer": "the real VCEK of attestation.bin",
    f"{_SEV}report_milan.hex": "verifies",
    f"{_SEV}vcek_milan.der": "the VCEK of report_milan.hex",
    f"{_SEV}vcek_turin.der": "chains to ARK-Turin",
    f"{_TRUSTEE}test-report.bin": "verifies",
    f"{_TRUSTEE}test-vcek.der": "the VCEK of test-report.bin",
    f"{_TRUSTEE}test-vcek-invalid-legacy.der": "refused: changed after signing",
    f"{_TRUSTEE}test-vcek-invalid-new.der": "refused: changed after signing",
    f"{_TRUSTEE}test-vlek-report.bin": "verifies",
    f"{_TRUSTEE}test-vlek.der": "the VLEK of test-vlek-report.bin",
    **dict.fromkeys(_BUNDLES, "authorities of AMD under a pinned root"),
}
"""What each recorded file of the family is, and the outcome it must have."""


@dataclass(frozen=True)
class Recording:
    """A report with the files that endorse it, and a moment at which all are valid."""

    report: str
    key: str
    key_file: str
    chain: str
    at: datetime
    version: int
    debug: bool = False
    vmpl: int = 0


RECORDINGS = [
    Recording(
        f"{_GO}attestation.bin",
        "vcek",
        f"{_GO}vcek.testcer",
        f"{_GO}milan.testcer",
        datetime(2023, 6, 1, tzinfo=UTC),
        2,
        debug=True,
    ),
    Recording(
        f"{_SEV}report_milan.hex",
        "vcek",
        f"{_SEV}vcek_milan.der",
        f"{_SEV}cert_chain_milan",
        datetime(2024, 6, 1, tzinfo=UTC),
        2,
    ),
    Recording(
        f"{_TRUSTEE}test-report.bin",
        "vcek",
        f"{_TRUSTEE}test-vcek.der",
        f"{_GO}ask_ark_milan.pem",
        datetime(2024, 6, 1, tzinfo=UTC),
        2,
    ),
    Recording(
        f"{_TRUSTEE}test-vlek-report.bin",
        "vlek",
        f"{_TRUSTEE}test-vlek.der",
        f"{_GO}milanvlek.testcer",
        datetime(2025, 6, 1, tzinfo=UTC),
        3,
        vmpl=1,
    ),
]
GOOD = RECORDINGS[2]
ANCHORS = tuple(PRODUCTION_ROOTS)


def read(name: str) -> bytes:
    data = (EVIDENCE / name).read_bytes()
    return bytes.fromhex(data.decode().strip()) if name.endswith(".hex") else data


def evidence_of(recording: Recording, *, key_file: str = "", chain: str = "") -> Evidence:
    endorsements = {
        recording.key: read(key_file or recording.key_file),
        "cert_chain": read(chain or recording.chain),
    }
    return Evidence(Family.SNP, read(recording.report), endorsements)


def test_every_recorded_file_is_covered() -> None:
    """Whatever is added to the recordings needs an outcome here."""
    assert {name for name in index() if name.startswith("snp/")} == COVERS.keys()


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda item: item.report)
def test_a_report_of_real_hardware_verifies(recording: Recording) -> None:
    """Under AMD's pinned root, at a moment when its certificates were valid."""
    claims, bound = verify_unbound(evidence_of(recording), anchors=ANCHORS, now=recording.at)

    assert claims.root_kind is RootKind.PRODUCTION
    assert claims.assurance is Assurance.CVM
    assert PRODUCTION_ROOTS[claims.root] == "ARK-Milan"
    assert claims.debug is recording.debug
    found = {name: claims.attributes[name] for name in ("version", "signing_key", "vmpl")}
    assert found == {
        "version": recording.version,
        "signing_key": recording.key,
        "vmpl": recording.vmpl,
    }
    assert bound == {"report_data": read(recording.report)[0x50:0x90]}


def test_a_cloud_names_itself() -> None:
    """The VLEK report is of a region of AWS, which masks its chips."""
    claims = verify_unbound(evidence_of(RECORDINGS[3]), anchors=ANCHORS, now=RECORDINGS[3].at)[0]

    assert claims.attributes["csp_id"] == "CN=cc-us-east-2.amazonaws.com"
    assert claims.attributes["chip_id_masked"] is True
    assert claims.attributes["platform_info.alias_check_complete"] is True
    assert claims.instance_id == b""


@pytest.mark.parametrize("name", ["test-vcek-invalid-legacy.der", "test-vcek-invalid-new.der"])
def test_an_invalid_vcek_is_refused(name: str) -> None:
    """Its contents were changed after AMD signed it."""
    with pytest.raises(ChainInvalidError, match="SEV-VCEK is not signed by SEV-Milan"):
        verify_unbound(evidence_of(GOOD, key_file=_TRUSTEE + name), anchors=ANCHORS, now=GOOD.at)


def test_the_vcek_of_another_machine_is_refused() -> None:
    """Both are genuine, and so is the report."""
    other = evidence_of(GOOD, key_file=f"{_SEV}vcek_milan.der")

    with pytest.raises(EvidenceSignatureError):
        verify_unbound(other, anchors=ANCHORS, now=GOOD.at)


def test_a_vlek_needs_its_own_authority() -> None:
    """The ASK of chips did not issue the key of a cloud."""
    other = evidence_of(RECORDINGS[3], chain=f"{_GO}ask_ark_milan.pem")

    with pytest.raises(ChainInvalidError, match="issuer SEV-VLEK-Milan"):
        verify_unbound(other, anchors=ANCHORS, now=RECORDINGS[3].at)


def test_a_vlek_lives_a_year() -> None:
    """The recorded one has run out since."""
    with pytest.raises(EvidenceExpiredError):
        verify_unbound(
            evidence_of(RECORDINGS[3]), anchors=ANCHORS, now=datetime(2026, 1, 1, tzinfo=UTC)
        )


@pytest.mark.parametrize(("name", "expected"), _BUNDLES.items())
def test_authorities_chain_to_a_pinned_root(name: str, expected: tuple[str, str]) -> None:
    """ASK or ASVK first, then the root, whose bytes are pinned under its name."""
    chain = load_certificates(read(name), what=name)

    root = verify_chain(chain, anchors=ANCHORS, what=name)

    assert tuple(item.what for item in chain) == expected
    assert PRODUCTION_ROOTS[root.digest] == expected[1]


def test_a_turin_vcek_chains_to_its_root() -> None:
    """With Turin's patch levels and its short chip identity."""
    chain = (
        *load_certificates(read(f"{_SEV}vcek_turin.der"), what="vcek"),
        *load_certificates(read(f"{_SEV}cert_chain_turin"), what="chain"),
    )
    verify_chain(chain, anchors=ANCHORS, what="VCEK")

    vek = read_vek(chain, loaded=False)

    assert vek.product is Product.TURIN
    assert vek.tcb == bytes((0, 0, 0, 0, 0, 0, 0, 9))
    assert vek.chip_id == bytes.fromhex("1e550a8ee5cf9f4d") + bytes(56)
