# SPDX-License-Identifier: Apache-2.0
"""Fetches endorsements from the vendors' services, when somebody says so and never otherwise."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from accord.collateral import _amd, _intel, _nvidia
from accord.collateral._forms import Item, recognise
from accord.errors import CollateralUnknownError, FetchError
from accord.evidence import Evidence
from accord.evidence.amd import Product, parse_report
from accord.evidence.azure import parse_hcl_report
from accord.policy import Family

INTEL_PCS = "https://api.trustedservices.intel.com"
INTEL_CERTIFICATES = "https://certificates.trustedservices.intel.com"
AMD_KDS = "https://kdsintf.amd.com"
NVIDIA_RIM = "https://rim.attestation.nvidia.com"

MAX_ANSWER_BYTES = 4 << 20
TIMEOUT_S = 30.0

_CHAIN_HEADERS = (
    "TCB-Info-Issuer-Chain",
    "SGX-TCB-Info-Issuer-Chain",  # as version 3 of the API spelled it; caches still do
    "SGX-Enclave-Identity-Issuer-Chain",
    "SGX-PCK-CRL-Issuer-Chain",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file of a vendor's: the service, and the path there."""

    base: str
    path: str
    optional: bool = False
    """Whether the vendor may not have it: a revocation list, a manifest of another driver."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service sent: the body, and the chains in its headers."""

    body: bytes
    chains: tuple[bytes, ...] = ()


Get = Callable[[str], Answer | None]
"""The answer for a URL, None where the service has no such file."""


def intel(tee: str, fmspc: str, ca: str) -> tuple[Wanted, ...]:
    """What Intel's PCS has for a platform (PCS API v4)."""
    certification = f"/{tee}/certification/v4"
    return (
        Wanted(INTEL_PCS, f"{certification}/tcb?fmspc={fmspc}"),
        Wanted(INTEL_PCS, f"{certification}/qe/identity"),
        Wanted(INTEL_PCS, f"/sgx/certification/v4/pckcrl?ca={ca}&encoding=der"),
        Wanted(INTEL_CERTIFICATES, "/IntelSGXRootCA.der"),
    )


def amd(product: Product, *, vlek: bool = False) -> tuple[Wanted, ...]:
    """What AMD's KDS has for a product: chain and revocation list (57230, 4)."""
    base = f"/{'vlek' if vlek else 'vcek'}/v1/{product}"
    return (Wanted(AMD_KDS, f"{base}/cert_chain"), Wanted(AMD_KDS, f"{base}/crl", optional=True))


def nvidia(name: str) -> tuple[Wanted, ...]:
    """A reference manifest of NVIDIA's RIM service."""
    return (Wanted(NVIDIA_RIM, f"/v1/rim/{name}"),)


def wanted_for(evidence: Evidence) -> tuple[Wanted, ...]:
    """What the vendors have for the platform that ``evidence`` says it is from.

    Raises ``CollateralUnknownError`` for families whose evidence carries all that there is.
    """
    match evidence.family:
        case Family.SGX | Family.TDX:
            platform = _intel.platform_of(evidence)
            return intel(platform.tee, platform.fmspc, platform.ca)
        case Family.SNP:
            return _snp(evidence.blob)
        case Family.AZURE:
            report = parse_hcl_report(evidence.blob)
            if report.hardware is Family.SNP:
                return _snp(report.hardware_report)
        case Family.NVIDIA:
            return tuple(w for name in _nvidia.device_of(evidence).ids for w in nvidia(name))
    raise CollateralUnknownError(
        what=f"evidence of {evidence.family}", detail="no vendor's service has anything for it"
    )


def _snp(blob: bytes) -> tuple[Wanted, ...]:
    report = parse_report(blob)
    vlek = _amd.signed_by_vlek(report)
    found: list[Wanted] = []
    for product in _amd.products(report):
        found += amd(product, vlek=vlek)
        if not vlek:  # a cloud provider's key is handed out by the provider alone
            unsure = len(_amd.products(report)) > 1
            found.append(Wanted(AMD_KDS, _amd.vcek_path(report, product), optional=unsure))
    return tuple(found)


def fetch(wanted: Iterable[Wanted], *, get: Get, url: str | None = None) -> Iterator[Item]:
    """Everything in ``wanted``, told apart; nothing is verified.

    ``url`` stands for every vendor's service: a cache (PCCS) or a mirror.
    Raises ``FetchError`` or ``CollateralUnknownError``.
    """
    for item in wanted:
        address = (url or item.base).rstrip("/") + item.path
        answer = get(address)
        if answer is None:
            if item.optional:
                continue
            raise FetchError(url=address, detail="there is no such file (404)")
        yield from recognise(answer.body, what=address)
        for chain in answer.chains:
            yield from recognise(chain, what=f"headers of {address}")


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirections to HTTPS alone."""

    def redirect_request(  # noqa: PLR0917 - as the standard library calls it
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise FetchError(url=newurl, detail="a redirection away from HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def https_get(*, context: ssl.SSLContext | None = None) -> Get:
    """Gets over HTTPS, through the proxies of the environment (``https_proxy``).

    TLS only keeps others from seeing what is asked: signatures say what is true.
    """
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context or ssl.create_default_context()),
        _NoDowngrade(),
    )

    def get(url: str) -> Answer | None:
        if urlsplit(url).scheme != "https":
            raise FetchError(url=url, detail="it is not HTTPS")
        try:
            with opener.open(url, timeout=TIMEOUT_S) as response:
                body: bytes = response.read(MAX_ANSWER_BYTES + 1)
                chains = [response.headers.get(name) for name in _CHAIN_HEADERS]
        except HTTPError as exc:
            if exc.code == 404:  # noqa: PLR2004 - HTTP
                return None
            raise FetchError(url=url, detail=f"the service answers {exc.code}") from exc
        except (URLError, OSError, ValueError) as exc:
            reason = getattr(exc, "reason", exc)
            raise FetchError(url=url, detail=str(reason) or type(exc).__name__) from exc
        if len(body) > MAX_ANSWER_BYTES:
            raise FetchError(url=url, detail=f"more than {MAX_ANSWER_BYTES} bytes")
        return Answer(body, tuple(chain.encode("ascii", "replace") for chain in chains if chain))

    return get
