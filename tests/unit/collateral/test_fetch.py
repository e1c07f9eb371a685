# SPDX-License-Identifier: Apache-2.0
"""Fetching from vendors' services: what is asked where, over HTTPS alone, nothing believed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.unit.collateral.servers import Page, Service, running
from tests.unit.collateral.vendors import NOW, Intel, items, nvidia_files, snp_files

from accord.collateral import (
    Answer,
    Form,
    amd,
    certify,
    check_fetched,
    fetch,
    https_get,
    intel,
    nvidia,
    wanted_for,
)
from accord.collateral import intel as intel_wanted
from accord.collateral import nvidia as nvidia_wanted
from accord.errors import CollateralUnknownError, FetchedOtherError, FetchError
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
    one_of = {item.path: item.one_of for item in wanted_for(Evidence(Family.SNP, report.blob))}

    assert {"/vcek/v1/Milan/cert_chain", "/vcek/v1/Genoa/cert_chain"} <= one_of.keys()
    chips = [value for path, value in one_of.items() if "SPL=" in path]
    assert chips == ["certificate of the chip"] * 2


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


# --- servers that lie -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"what is this\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000 + b"\r\n\r\n",
    ],
    ids=["cut", "cut-chunk", "no-http", "long-line"],
)
def test_a_server_that_breaks_http_is_an_error_with_the_address(
    service: Service, raw: bytes
) -> None:
    """Never half an answer, and no error but ours."""
    service.pages["/x"] = Page(b"", raw=raw)
    with pytest.raises(FetchError, match=r"https://127\.0\.0\.1:\d+/x"):
        https_get(context=service.context)(f"{service.url}/x")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_server_that_drips_for_ever_is_left(service: Service, head: bytes) -> None:
    """One byte at a time, in the body or in the headers: the whole answer has a deadline."""
    service.pages["/x"] = Page(b"", raw=head + b"x" * 60, drip=0.02)
    started = time.monotonic()
    with pytest.raises(FetchError, match=r"no whole answer after 0\.2 seconds"):
        https_get(context=service.context, deadline_s=0.2)(f"{service.url}/x")
    assert time.monotonic() - started < 1


def test_a_pccs_is_asked_where_it_has_the_list_of_the_root(service: Service, intel: Intel) -> None:
    """In hex, below another path, and only where --url names it."""
    wanted = wanted_for(intel.evidence())
    serve_intel(service, intel, wanted[0].path.rpartition("=")[2])
    del service.pages["/IntelSGXRootCA.der"]
    listed = intel.collateral.root_ca_crl.hex().encode()
    service.pages["/sgx/certification/v4/rootcacrl"] = Page(listed)
    get = https_get(context=service.context)
    pieces = certify(list(fetch(wanted, get=get, url=service.url)), anchors=intel.anchors)

    check_fetched(wanted, pieces, now=NOW)
    assert "intel/crl/root" in {piece.key for piece in pieces}
    here = [replace(item, base=service.url) for item in wanted]
    with pytest.raises(FetchError, match="404"):
        list(fetch(here, get=get))


def test_an_answer_for_another_platform_is_refused(intel: Intel) -> None:
    """Signed by the vendor, and of no use to who asked."""
    pieces = certify(items(intel.bundle), anchors=intel.anchors)
    asked = wanted_for(intel.evidence())
    check_fetched(asked, pieces, now=NOW)
    with pytest.raises(FetchedOtherError, match="not intel/tcb-info/tdx/00906ed50000: the answers"):
        check_fetched((*asked, *intel_wanted("tdx", "00906ed50000", "platform")), pieces, now=NOW)
    with pytest.raises(FetchedOtherError, match="not intel/crl/processor"):
        check_fetched(intel_wanted("tdx", _fmspc(intel), "processor"), pieces, now=NOW)
    with pytest.raises(FetchedOtherError, match="nothing"):
        check_fetched(asked, (), now=NOW)


def test_an_answer_of_long_ago_is_refused(intel: Intel) -> None:
    """A replayed answer hides what was revoked since."""
    pieces = certify(items(intel.bundle), anchors=intel.anchors)
    asked = wanted_for(intel.evidence())
    for days in (-9999, 9999):
        with pytest.raises(FetchedOtherError, match="is valid from"):
            check_fetched(asked, pieces, now=NOW + timedelta(days=days))


def test_of_two_possible_chips_one_must_be_there(amd: SimulatedSNP) -> None:
    """A report that names no product: both answers missing is an error."""
    report = amd.collect(bytes(64), version=2, product=Product.MILAN)
    asked = [i for i in wanted_for(Evidence(Family.SNP, report.blob)) if i.one_of]
    found = {item.key for item in asked}
    pieces = certify(items(*snp_files(amd)[1:]), anchors=amd.anchors)

    assert len(found) == 2
    with pytest.raises(FetchedOtherError, match=r"amd/vcek/Milan/\S+ or amd/vcek/Genoa/"):
        check_fetched(asked, pieces, now=NOW)
    check_fetched(asked, [replace(pieces[0], key=asked[1].key)], now=NOW)


def test_a_manifest_is_of_the_driver_that_was_named(nvidia: SimulatedNVIDIA) -> None:
    """Its id says chip and version; that of a VBIOS says neither."""
    (driver,) = nvidia_wanted("NV_GPU_DRIVER_GH100_550.144.03")
    (vbios,) = nvidia_wanted("NV_GPU_VBIOS_1010_0200_882_96005E0001")
    _, given = nvidia_files(nvidia)
    files = (given["driver_rim"], given["vbios_rim"])
    pieces = certify(items(*files), anchors=nvidia.anchors)

    assert (driver.key, vbios.key) == ("nvidia/rim/GH100/550.144.03", "nvidia/rim/")
    check_fetched([vbios], pieces, now=NOW)
    with pytest.raises(FetchedOtherError):
        check_fetched([replace(driver, key="nvidia/rim/GH100/1.2.3")], pieces, now=NOW)


def test_a_page_that_is_no_collateral_is_refused() -> None:
    """A captive portal's, for instance."""
    with pytest.raises(FetchedOtherError, match="not nvidia/rim/"):
        list(fetch(nvidia_wanted("x"), get=lambda _: Answer(b"<html>please log in</html>")))


def _fmspc(vendor: Intel) -> str:
    return wanted_for(vendor.evidence())[0].path.rpartition("=")[2]
