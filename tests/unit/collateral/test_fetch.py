# SPDX-License-Identifier: Apache-2.0
"""Fetching from vendors' services: what is asked where, over HTTPS alone, nothing believed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.unit.collateral.servers import Page, Service, running
from tests.unit.collateral.vendors import Intel, nvidia_files, snp_files

from accord.collateral import (
    Answer,
    Form,
    amd,
    certify,
    fetch,
    https_get,
    intel,
    nvidia,
    wanted_for,
)
from accord.errors import CollateralUnknownError, FetchError
from accord.evidence import Evidence
from accord.evidence.amd import Product
from accord.policy import Family
from accord.testing import SimulatedNVIDIA, SimulatedSNP, create_simulated


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as found:
        yield found


def serve_intel(service: Service, vendor: Intel, fmspc: str) -> None:
    """Intel's PCS, version 4, for one platform."""
    collateral = vendor.collateral
    signers = {"TCB-Info-Issuer-Chain": quote(collateral.tcb_info_issuer_chain)}
    qe = {"SGX-Enclave-Identity-Issuer-Chain": quote(collateral.qe_identity_issuer_chain)}
    pck = {"SGX-PCK-CRL-Issuer-Chain": quote(collateral.pck_crl_issuer_chain)}
    service.pages.update(
        {
            f"/tdx/certification/v4/tcb?fmspc={fmspc}": Page(vendor.tcb_info, signers),
            "/tdx/certification/v4/qe/identity": Page(vendor.qe_identity, qe),
            "/sgx/certification/v4/pckcrl?ca=platform&encoding=der": Page(collateral.pck_crl, pck),
            "/IntelSGXRootCA.der": Page(collateral.root_ca_crl),
        }
    )


def test_a_quotes_platform_is_asked_for(service: Service, intel: Intel) -> None:
    """TCB info, QE identity and both lists, with the chains of the headers; all verify."""
    wanted = wanted_for(intel.evidence())
    fmspc = wanted[0].path.rpartition("=")[2]
    serve_intel(service, intel, fmspc)
    found = list(fetch(wanted, get=https_get(context=service.context), url=service.url))

    assert sorted(service.pages) == sorted(service.asked)
    keys = {piece.key for piece in certify(found, anchors=intel.anchors)}
    assert {f"intel/tcb-info/tdx/{fmspc}", "intel/crl/root", "intel/crl/platform"} <= keys
    assert {item.base for item in wanted} == {
        "https://api.trustedservices.intel.com",
        "https://certificates.trustedservices.intel.com",
    }


def test_a_chips_certificate_is_asked_for(amd: SimulatedSNP) -> None:
    """By product, chip and the versions of the reported TCB."""
    report, _, _ = snp_files(amd)
    paths = [item.path for item in wanted_for(report)]

    assert all(item.base == "https://kdsintf.amd.com" for item in wanted_for(report))
    assert paths[0].endswith("/cert_chain")
    assert "SPL=" in paths[2]
    assert paths[2].count("&") >= 3


def test_a_report_that_names_no_product_asks_for_all(amd: SimulatedSNP) -> None:
    """Before version 3; a wrong guess may be missing."""
    report = amd.collect(bytes(64), version=2, product=Product.MILAN)
    optional = {item.path: item.optional for item in wanted_for(Evidence(Family.SNP, report.blob))}

    assert {"/vcek/v1/Milan/cert_chain", "/vcek/v1/Genoa/cert_chain"} <= optional.keys()
    assert [value for path, value in optional.items() if "SPL=" in path] == [True, True]


def test_a_gpus_manifests_are_asked_for(nvidia: SimulatedNVIDIA) -> None:
    """By the names that NVIDIA gives them."""
    evidence, _ = nvidia_files(nvidia)
    paths = [item.path for item in wanted_for(evidence)]

    assert paths[0].startswith("/v1/rim/NV_GPU_DRIVER_GH100_")
    assert paths[1].startswith("/v1/rim/NV_GPU_VBIOS_")


def test_without_evidence_platforms_are_named() -> None:
    """What `accord collateral fetch` takes instead of evidence."""
    assert intel("sgx", "00906ed50000", "processor")[2].path.endswith("ca=processor&encoding=der")
    assert [item.path for item in amd(Product.TURIN, vlek=True)] == [
        "/vlek/v1/Turin/cert_chain",
        "/vlek/v1/Turin/crl",
    ]
    assert nvidia("NV_X")[0].path == "/v1/rim/NV_X"


def test_families_without_a_service_have_nothing_to_fetch(tmp_path: Path) -> None:
    """Their evidence carries what there is, or their keys are pinned."""
    for family in (Family.NITRO, Family.KEYSTONE, Family.PSA):
        evidence = create_simulated(family, tmp_path / family.value).collect(bytes(64))
        with pytest.raises(CollateralUnknownError, match="no vendor's service"):
            wanted_for(evidence)


def test_an_optional_file_may_be_missing() -> None:
    """A revocation list that AMD has not published; a chain must be there."""
    wanted = amd(Product.MILAN)

    def nothing(_: str) -> Answer | None:
        return None

    assert list(fetch(wanted[1:], get=nothing)) == []
    with pytest.raises(FetchError, match="404"):
        list(fetch(wanted, get=nothing))


def test_answers_are_told_apart(intel: Intel) -> None:
    """Body and headers; a mirror's address may end in a slash."""
    asked = []

    def get(url: str) -> Answer:
        asked.append(url)
        return Answer(intel.tcb_info, (intel.collateral.tcb_info_issuer_chain.encode(),))

    found = list(fetch(nvidia("x"), get=get, url="https://mirror/"))
    assert [item.form for item in found] == [Form.TCB_INFO, Form.CERTIFICATES]
    assert asked == ["https://mirror/v1/rim/x"]


# --- HTTPS ----------------------------------------------------------------------------------


def test_pages_errors_and_absence_are_told_apart(service: Service) -> None:
    """200, 404 and the rest."""
    get = https_get(context=service.context)
    service.pages["/broken"] = Page(b"", status=500)
    service.pages["/large"] = Page(bytes((4 << 20) + 1))
    service.pages["/good"] = Page(b"yes", {"TCB-Info-Issuer-Chain": "chain"})

    assert get(f"{service.url}/good") == Answer(b"yes", (b"chain",))
    assert get(f"{service.url}/none") is None
    with pytest.raises(FetchError, match="answers 500"):
        get(f"{service.url}/broken")
    with pytest.raises(FetchError, match="more than"):
        get(f"{service.url}/large")


def test_a_server_that_nobody_certified_is_refused(service: Service) -> None:
    """The system's own certificates do not know it."""
    with pytest.raises(FetchError, match=r"(?i)certificate"):
        https_get()(f"{service.url}/good")


def test_plain_http_is_refused(service: Service) -> None:
    """At the start, and after a redirection; another HTTPS page may be led to."""
    get = https_get(context=service.context)
    with pytest.raises(FetchError, match="not HTTPS"):
        get("http://127.0.0.1:1/")
    service.pages["/away"] = Page(b"", {"Location": "http://127.0.0.1:1/"}, status=302)
    service.pages["/near"] = Page(b"", {"Location": "/good"}, status=302)
    service.pages["/good"] = Page(b"yes")
    with pytest.raises(FetchError, match="away from HTTPS"):
        get(f"{service.url}/away")
    assert get(f"{service.url}/near") == Answer(b"yes")


def test_nobody_there_is_an_error_with_the_address() -> None:
    """No network, no service."""
    with pytest.raises(FetchError, match=r"https://127\.0\.0\.1:1/x"):
        https_get()("https://127.0.0.1:1/x")


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not there is what fails, not the service."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(FetchError, match="refused"):
        https_get()("https://vendor.example/x")
