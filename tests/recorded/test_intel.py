# SPDX-License-Identifier: Apache-2.0
"""Quotes of real machines, where their recordings are at hand."""

import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from accord.encoding import Fields, sha256
from accord.errors import (
    AnchorUnknownError,
    CollateralMismatchError,
    EvidenceExpiredError,
    EvidenceMalformedError,
)
from accord.evidence import PRODUCTION_ROOTS, Collateral, RootKind, root_kind
from accord.evidence.intel._quote import parse_quote
from accord.evidence.intel._tdx import _verify_quote_signatures, verify_tdx
from accord.evidence.intel._x509 import PCK_CHAIN, load_chain
from accord.policy import Assurance

RECORDED = Path(__file__).parents[4] / "shared" / "evidence" / "tdx"
ANCHORS = tuple(PRODUCTION_ROOTS)
NOW = datetime(2025, 6, 30, tzinfo=UTC)
GOOGLE = "go-tdx-guest/cos-113-tdx-quote.dat"
SAPPHIRE = "go-tdx-guest/tdx_prod_quote_SPR_E4.dat"
PHALA = "dcap-qvl/tdx_quote"

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="recorded evidence is not at hand")


def quote(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def collateral(name: str) -> Collateral:
    value: Any = json.loads((RECORDED / name).read_text())
    return Collateral.from_fields(Fields(value, name))


def verified(now: datetime = NOW, **changes: Any) -> Any:
    return verify_tdx(
        changes.get("blob", quote(PHALA)),
        collateral(changes.get("collateral", "dcap-qvl/tdx_quote_collateral.json")),
        anchors=changes.get("anchors", ANCHORS),
        now=now,
    )


def test_a_real_quote_with_its_collateral_is_hardware() -> None:
    """A recorded machine verifies under Intel's root, up to date, as a confidential VM."""
    claims, _ = verified()

    assert (claims.root_kind, claims.assurance) == (RootKind.PRODUCTION, Assurance.CVM)
    assert (claims.tcb.status, claims.tcb.evaluation_number) == ("UpToDate", 17)
    assert datetime(2025, 7, 19, 10, 0, 35, tzinfo=UTC) == claims.collateral_expires


def test_the_pinned_root_is_the_one_in_real_quotes() -> None:
    """The compiled-in digest is that of the root that real machines' chains end in."""
    for name in (PHALA, GOOGLE):
        root = load_chain(parse_quote(quote(name)).pck_chain, PCK_CHAIN)[-1]

        assert (ANCHORS[0], RootKind.PRODUCTION) == (root.digest, root_kind(root.digest))


@pytest.mark.parametrize("name", [PHALA, GOOGLE, SAPPHIRE])
def test_real_quotes_are_signed_by_their_platforms(name: str) -> None:
    """Quote, quoting enclave and PCK chain of each recorded machine verify."""
    blob = quote(name)
    if name == SAPPHIRE:  # its publisher appended a line of text, which we refuse below
        blob = blob[: 636 + struct.unpack_from("<I", blob, 632)[0]]
    parsed = parse_quote(blob)

    _verify_quote_signatures(parsed, load_chain(parsed.pck_chain, PCK_CHAIN)[0])


def test_text_after_a_real_quote_is_refused() -> None:
    """Only zeros may follow a quote."""
    with pytest.raises(EvidenceMalformedError, match="zeros"):
        parse_quote(quote(SAPPHIRE))


def test_real_collateral_of_another_machine_is_refused() -> None:
    """Genuine collateral for another platform does not serve."""
    with pytest.raises(CollateralMismatchError, match="FMSPC"):
        verified(blob=quote(GOOGLE))


def test_real_collateral_expires() -> None:
    """A month later the same bytes are refused."""
    with pytest.raises(EvidenceExpiredError):
        verified(now=datetime(2025, 8, 1, tzinfo=UTC))


def test_a_real_quote_needs_intels_root_pinned() -> None:
    """Under any other anchor a real machine is a stranger."""
    with pytest.raises(AnchorUnknownError):
        verified(anchors=(sha256(b""),))


def test_quotes_of_version_five_are_refused() -> None:
    """Version 5 is not supported, and is not misread as version 4."""
    with pytest.raises(EvidenceMalformedError, match="version is 5"):
        parse_quote(quote("dcap-qvl/tdx_quote_outdated"))


def test_both_verifiers_agree_about_the_recorded_machine() -> None:
    """dcap-qvl with its own root reaches the same status and advisories."""
    dcap_qvl = pytest.importorskip("dcap_qvl")
    path = RECORDED / "dcap-qvl/tdx_quote_collateral.json"
    document = dcap_qvl.QuoteCollateralV3.from_json(path.read_text())
    report = dcap_qvl.verify(quote(PHALA), document, int(NOW.timestamp()))
    claims, _ = verified()

    assert (report.status, tuple(report.advisory_ids)) == (
        claims.tcb.status,
        claims.tcb.advisories,
    )
