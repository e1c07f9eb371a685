# SPDX-License-Identifier: Apache-2.0
"""Fetches endorsements from the vendors' services, when somebody says so and never otherwise."""

from __future__ import annotations

import queue
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http.client import HTTPException, HTTPMessage, IncompleteRead
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from accord.collateral import _amd, _intel, _nvidia
from accord.collateral._forms import Item, recognise
from accord.collateral._keys import MANIFEST, MANIFESTS, PCK_CRL, QE_IDENTITY, ROOT_CRL, TCB_INFO
from accord.collateral._pieces import Piece
from accord.encoding import format_time
from accord.errors import (
    CollateralUnknownError,
    EncodingError,
    FetchedOtherError,
    FetchError,
)
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
"""How long a service may say nothing."""

DEADLINE_S = 120.0
"""How long one answer may take, from the name of the service to its last byte."""

_DRIVER = "NV_GPU_DRIVER_"

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
    key: str
    """What it must turn out to be, as the cache names it; one that ends in / is a folder."""

    optional: bool = False
    """Whether the vendor may not have it: a revocation list."""

    one_of: str = ""
    """Of those that share this name one suffices: nobody knows which the platform is."""

    mirrored: str = ""
    """Where a PCCS has it, if not at ``path``."""


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
        Wanted(
            INTEL_PCS,
            f"{certification}/tcb?fmspc={fmspc}",
            TCB_INFO.format(tee=tee, fmspc=fmspc),
        ),
        Wanted(INTEL_PCS, f"{certification}/qe/identity", QE_IDENTITY.format(tee=tee)),
        Wanted(
            INTEL_PCS,
            f"/sgx/certification/v4/pckcrl?ca={ca}&encoding=der",
            PCK_CRL.format(ca=ca),
        ),
        Wanted(
            INTEL_CERTIFICATES,
            "/IntelSGXRootCA.der",
            ROOT_CRL,
            mirrored="/sgx/certification/v4/rootcacrl",
        ),
    )


def amd(product: Product, *, vlek: bool = False) -> tuple[Wanted, ...]:
    """What AMD's KDS has for a product: chain and revocation list (57230, 4)."""
    base = f"/{'vlek' if vlek else 'vcek'}/v1/{product}"
    return (
        Wanted(AMD_KDS, f"{base}/cert_chain", _amd.chain_key(product, vlek=vlek)),
        Wanted(AMD_KDS, f"{base}/crl", _amd.crl_key(product), optional=True),
    )


def nvidia(name: str) -> tuple[Wanted, ...]:
    """A reference manifest of NVIDIA's RIM service; names of VBIOS manifests tell no version."""
    chip, _, version = name.removeprefix(_DRIVER).partition("_")
    exact = name.startswith(_DRIVER) and chip and version
    key = MANIFEST.format(product=chip, version=version) if exact else MANIFESTS
    return (Wanted(NVIDIA_RIM, f"/v1/rim/{name}", key),)


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
            device = _nvidia.device_of(evidence)
            return tuple(
                replace(item, key=device.keys[name])
                for name, identifier in device.ids.items()
                for item in nvidia(identifier)
            )
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
            key = _amd.leaf_key(report, product)
            unsure = "certificate of the chip" if len(_amd.products(report)) > 1 else ""
            found.append(Wanted(AMD_KDS, _amd.vcek_path(report, product), key, one_of=unsure))
    return tuple(found)


def fetch(wanted: Iterable[Wanted], *, get: Get, url: str | None = None) -> Iterator[Item]:
    """Everything in ``wanted``, told apart; nothing is verified.

    ``url`` stands for every vendor's service: a cache (PCCS) or a mirror.
    Raises ``FetchError`` or ``FetchedOtherError``.
    """
    for item in wanted:
        base = (url or item.base).rstrip("/")
        address = base + item.path
        answer = get(address)
        if answer is None and url is not None and item.mirrored:
            address = base + item.mirrored
            answer = get(address)
        if answer is None:
            if item.optional or item.one_of:
                continue
            raise FetchError(url=address, detail="there is no such file (404)")
        yield from _recognised(answer.body, item, address)
        for chain in answer.chains:
            yield from _recognised(chain, item, f"headers of {address}")


def _recognised(data: bytes, wanted: Wanted, where: str) -> Sequence[Item]:
    try:
        return list(recognise(data, what=where))
    except (CollateralUnknownError, EncodingError) as exc:
        raise FetchedOtherError(what=wanted.key, detail=str(exc)) from exc


def check_fetched(wanted: Sequence[Wanted], pieces: Sequence[Piece], *, now: datetime) -> None:
    """That everything ``wanted`` is among ``pieces`` and valid at ``now``.

    A service can answer with what its vendor signed for another platform, or long ago.
    Raises ``FetchedOtherError``.
    """
    refusals: dict[str, list[str]] = {}
    satisfied: set[str] = set()
    for item in wanted:
        refusal = _lacking(item, pieces, now)
        group = item.one_of or item.path
        if refusal:
            refusals.setdefault(group, []).append(refusal)
        else:
            satisfied.add(group)
    for group, refused in refusals.items():
        if group not in satisfied:
            raise FetchedOtherError(what=" or ".join(_names(wanted, group)), detail=refused[0])


def _names(wanted: Sequence[Wanted], group: str) -> list[str]:
    return [item.key for item in wanted if group in {item.one_of, item.path}]


def _lacking(item: Wanted, pieces: Sequence[Piece], now: datetime) -> str:
    """Why ``pieces`` do not have ``item``, or nothing."""
    folder = item.key if item.key.endswith("/") else item.key + "/"
    found = [piece for piece in pieces if piece.key == item.key or piece.key.startswith(folder)]
    if not found:
        return "" if item.optional else "the answers are of " + _listed(pieces)
    if any(piece.not_before <= now <= piece.not_after for piece in found):
        return ""
    newest = max(found, key=lambda piece: piece.not_before)
    period = f"{format_time(newest.not_before)} until {format_time(newest.not_after)}"
    return f"it is valid from {period} alone"


def _listed(pieces: Sequence[Piece]) -> str:
    return ", ".join(sorted({piece.key for piece in pieces})) or "nothing"


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
            fp.close()
            raise FetchError(url=newurl, detail="a redirection away from HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def https_get(*, context: ssl.SSLContext | None = None, deadline_s: float = DEADLINE_S) -> Get:
    """Gets over HTTPS, through the proxies of the environment (``https_proxy``).

    TLS only keeps others from seeing what is asked: signatures say what is true. An answer
    that is not whole after ``deadline_s`` is an error, however steadily it drips.
    """
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context or ssl.create_default_context()),
        _NoDowngrade(),
    )

    def ask(url: str) -> Answer | None:
        try:
            with opener.open(url, timeout=TIMEOUT_S) as response:
                body: bytes = response.read(MAX_ANSWER_BYTES + 1)
                if response.length and len(body) <= MAX_ANSWER_BYTES:  # read(n) does not say it
                    raise IncompleteRead(body, response.length)
                chains = [response.headers.get(name) for name in _CHAIN_HEADERS]
        except HTTPError as exc:
            exc.close()
            if exc.code == 404:  # noqa: PLR2004 - HTTP
                return None
            raise FetchError(url=url, detail=f"the service answers {exc.code}") from exc
        except (URLError, HTTPException, OSError, ValueError) as exc:
            reason = getattr(exc, "reason", exc)
            raise FetchError(url=url, detail=str(reason) or type(exc).__name__) from exc
        if len(body) > MAX_ANSWER_BYTES:
            raise FetchError(url=url, detail=f"more than {MAX_ANSWER_BYTES} bytes")
        return Answer(body, tuple(chain.encode("ascii", "replace") for chain in chains if chain))

    def get(url: str) -> Answer | None:
        if urlsplit(url).scheme != "https":
            raise FetchError(url=url, detail="it is not HTTPS")
        return _within(deadline_s, ask, url)

    return get


def _within(seconds: float, ask: Get, url: str) -> Answer | None:
    """What ``ask`` returns or raises, unless it takes longer: then it is left to itself.

    Timeouts of sockets start anew with each byte, and names are resolved without any.
    """
    done: queue.SimpleQueue[Answer | Exception | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put(ask(url))
        except Exception as exc:  # noqa: BLE001 - raised again where somebody waits for it
            done.put(exc)

    threading.Thread(target=work, daemon=True).start()
    try:
        found = done.get(timeout=seconds)
    except queue.Empty as exc:
        raise FetchError(url=url, detail=f"no whole answer after {seconds:g} seconds") from exc
    if not isinstance(found, Exception):
        return found
    try:
        raise found
    finally:
        del found  # it holds this frame: sockets must not wait for the garbage collector
