# SPDX-License-Identifier: Apache-2.0
"""Real vendors' files, and real evidence that verifies with what the cache made of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.support.recorded import EVIDENCE, needs_evidence
from tests.unit.collateral.vendors import items

from accord.collateral import CollateralCache, cached_endorsements, certify, with_endorsements
from accord.errors import ChainInvalidError
from accord.evidence import PRODUCTION_ROOTS, Evidence, verify_unbound
from accord.evidence.azure import parse_hcl_report
from accord.policy import Family

pytestmark = needs_evidence

ANCHORS = tuple(PRODUCTION_ROOTS)
NOW = datetime(2025, 7, 1, tzinfo=UTC)


def files(*names: str) -> list[bytes]:
    return [(EVIDENCE / name).read_bytes() for name in names]


@pytest.mark.parametrize(
    ("family", "quote", "collateral"),
    [
        (Family.TDX, "tdx/dcap-qvl/tdx_quote", "tdx/dcap-qvl/tdx_quote_collateral.json"),
        (Family.SGX, "sgx/dcap-qvl/sgx_quote", "sgx/dcap-qvl/sgx_quote_collateral.json"),
    ],
)
def test_real_quotes_verify_from_the_cache(
    cache: CollateralCache, family: Family, quote: str, collateral: str
) -> None:
    """Intel's collateral, taken apart, stored, and put together again."""
    cache.add(certify(items(*files(collateral)), anchors=ANCHORS))
    evidence = Evidence(family, files(quote)[0])
    found = cached_endorsements(evidence, cache, now=NOW)

    verify_unbound(with_endorsements(evidence, found), anchors=ANCHORS, now=NOW)


def test_a_real_report_verifies_from_the_cache(cache: CollateralCache) -> None:
    """AMD's chain and VCEK; the report is of version 2 and names no product."""
    cache.add(
        certify(
            items(*files("snp/sev/vcek_milan.der", "snp/go-sev-guest/ask_ark_milan.pem")),
            anchors=ANCHORS,
        )
    )
    evidence = Evidence(Family.SNP, bytes.fromhex(files("snp/sev/report_milan.hex")[0].decode()))
    found = cached_endorsements(evidence, cache, now=NOW)

    verify_unbound(with_endorsements(evidence, found), anchors=ANCHORS, now=NOW)


def test_a_real_azure_report_finds_amds_certificates(cache: CollateralCache) -> None:
    """Through the paravisor's report, by chip and TCB."""
    (blob,) = files("azure/azure-cvm-tooling/hcl-report-snp.bin")
    evidence = Evidence(Family.AZURE, blob)
    inner = Evidence(Family.SNP, parse_hcl_report(blob).hardware_report)
    cache.add(certify(items(*files("snp/go-sev-guest/ask_ark_milan.pem")), anchors=ANCHORS))
    for one in (evidence, inner):
        given = with_endorsements(one, {"vcek": b"given"})
        assert set(cached_endorsements(given, cache, now=NOW)) == {"cert_chain"}


@pytest.mark.parametrize("product", ["milan", "genoa", "turin_vcek"])
def test_real_chains_of_every_product_are_stored(product: str) -> None:
    """ASK and ARK, under the key of their product."""
    (piece,) = certify(items(*files(f"snp/go-sev-guest/ask_ark_{product}.pem")), anchors=ANCHORS)
    assert piece.key == f"amd/chain/{product.partition('_')[0].title()}/vcek"


def test_a_real_vlek_is_stored_beside_its_own_chain() -> None:
    """A cloud provider's key, below ASVK."""
    found = certify(
        items(*files("snp/trustee/test-vlek.der", "snp/go-sev-guest/ask_ark_milan_vlek.pem")),
        anchors=ANCHORS,
    )
    kinds = sorted(piece.key.rpartition("/")[0] for piece in found)
    assert kinds == ["amd/chain/Milan", "amd/vlek/Milan"]


def test_bad_certificates_are_refused() -> None:
    """The two invalid VCEKs of the recorded evidence."""
    for name in ("test-vcek-invalid-new.der", "test-vcek-invalid-legacy.der"):
        given = files(f"snp/trustee/{name}", "snp/go-sev-guest/ask_ark_milan.pem")
        with pytest.raises(ChainInvalidError):
            certify(items(*given), anchors=ANCHORS)


def test_real_manifests_are_stored_with_their_root() -> None:
    """A driver's and a VBIOS's, by chip and version."""
    found = certify(
        items(
            *files(
                "nvidia/nvtrust/Driver_RIM_test_no_gpu.swidtag",
                "nvidia/nvtrust/1010_0200_882_96005E0001_PROD.swidtag",
                "nvidia/nvtrust/verifier_RIM_root.pem",
            )
        ),
        anchors=ANCHORS,
    )
    assert {piece.key for piece in found} >= {
        "nvidia/rim/GH100/545.00",
        "nvidia/rim/GH100/96.00.5E.00.01",
    }
