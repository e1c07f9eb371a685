# SPDX-License-Identifier: Apache-2.0
"""Attestation documents of real Nitro enclaves, at the hour they were made."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.recorded import EVIDENCE, needs_evidence

from accord.encoding import sha256
from accord.errors import (
    AnchorUnknownError,
    DebugRefusedError,
    EvidenceExpiredError,
    EvidenceSignatureError,
)
from accord.evidence import PRODUCTION_ROOTS, Evidence, RootKind, verify_unbound
from accord.evidence._certificate import split_pem
from accord.evidence.nitro import decode_document
from accord.policy import Assurance, Family

pytestmark = needs_evidence

FOLDER = "nitro/attestation-doc-validation"
COVERS = {
    f"{FOLDER}/nitro.pem": "the root that is pinned for production",
    f"{FOLDER}/valid-attestation-doc-bytes": "verifies on 2022-10-13",
    f"{FOLDER}/debug-mode-attestation-doc-bytes": "refused as debug on 2022-10-12",
    f"{FOLDER}/valid-attestation-doc-base64": "signed on 2023-09-18, by a debug enclave: refused",
}
ANCHORS = tuple(PRODUCTION_ROOTS)
MADE = datetime(2022, 10, 13, 8, 58, 2, tzinfo=UTC)
DEBUG_MADE = datetime(2022, 10, 12, 13, 50, 6, tzinfo=UTC)
BASE64_MADE = datetime(2023, 9, 18, 15, 3, 30, tzinfo=UTC)


def document(name: str) -> Evidence:
    return Evidence(Family.NITRO, decode_document((EVIDENCE / FOLDER / name).read_bytes()))


def test_a_real_document_verifies_in_its_hour() -> None:
    """valid-attestation-doc-bytes is a confidential VM's under the root of AWS."""
    claims, bound = verify_unbound(
        document("valid-attestation-doc-bytes"), anchors=ANCHORS, now=MADE
    )

    assert (claims.root_kind, claims.assurance) == (RootKind.PRODUCTION, Assurance.CVM)
    assert claims.attributes == {
        "module_id": "i-020b6af9246d90e92-enc0183d09086c24190",
        "timestamp": 1665651482,
    }
    assert claims.instance_id == b"i-020b6af9246d90e92"
    assert claims.measurements["pcr0"].hex().startswith("f4d48b81a460")
    assert claims.measurements["pcr8"].hex().startswith("8790eb3cce6c")
    assert len(claims.measurements) == 16
    assert claims.collateral_expires == datetime(2022, 10, 13, 11, 58, 2, tzinfo=UTC)
    assert len(claims.chain) == 5
    assert bound == {}


def test_the_published_root_is_the_pinned_one() -> None:
    """nitro.pem, as AWS publishes it, has the digest in the list of production roots."""
    (root,) = split_pem((EVIDENCE / FOLDER / "nitro.pem").read_bytes(), what="root")

    assert PRODUCTION_ROOTS[sha256(root)] == "AWS Nitro Enclaves Root CA"


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("debug-mode-attestation-doc-bytes", DEBUG_MADE),
        ("valid-attestation-doc-base64", BASE64_MADE),
    ],
)
def test_documents_of_debug_enclaves_are_refused(name: str, made: datetime) -> None:
    """Everything else about them is right: their image registers are zero."""
    with pytest.raises(DebugRefusedError):
        verify_unbound(document(name), anchors=ANCHORS, now=made)


@pytest.mark.parametrize("hours", [-6, 6])
def test_a_real_document_does_not_verify_at_another_time(hours: int) -> None:
    """Its certificate lives for three hours."""
    with pytest.raises(EvidenceExpiredError):
        verify_unbound(
            document("valid-attestation-doc-bytes"),
            anchors=ANCHORS,
            now=MADE + timedelta(hours=hours),
        )


def test_a_real_document_needs_its_root() -> None:
    """Roots of other vendors do not vouch for it."""
    others = [digest for digest, name in PRODUCTION_ROOTS.items() if "Nitro" not in name]

    with pytest.raises(AnchorUnknownError):
        verify_unbound(document("valid-attestation-doc-bytes"), anchors=others, now=MADE)


def test_a_changed_register_is_refused() -> None:
    """One bit of PCR0 is enough."""
    evidence = document("valid-attestation-doc-bytes")
    at = evidence.blob.index(bytes.fromhex("f4d48b81a460"))
    blob = evidence.blob[:at] + b"\xf5" + evidence.blob[at + 1 :]

    with pytest.raises(EvidenceSignatureError):
        verify_unbound(Evidence(Family.NITRO, blob), anchors=ANCHORS, now=MADE)
