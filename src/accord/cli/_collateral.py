# SPDX-License-Identifier: Apache-2.0
"""`accord collateral`: the cache of the vendors' endorsements."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from accord.cli._evidence_file import read_evidence
from accord.cli._given import read_anchor
from accord.cli._options import PATH, cache_option, read_file, read_now, with_output, writing
from accord.cli._output import Output, table
from accord.collateral import (
    MAX_FILE_BYTES,
    MAX_VERDICT_BYTES,
    WARN_BEFORE,
    CollateralCache,
    Entry,
    Item,
    Wanted,
    amd,
    certify,
    check_fetched,
    fetch,
    https_get,
    intel,
    known_certificates,
    nvidia,
    recognise,
    wanted_for,
)
from accord.encoding import Digest, JSONValue, format_time
from accord.evidence import PRODUCTION_ROOTS
from accord.evidence.amd import Product
from accord.policy import Family

_FMSPC_DIGITS = 12


@click.group("collateral")
def group() -> None:
    """The vendors' endorsements of their hardware: certificates, lists, TCB info, manifests.

    Verifying evidence takes them from a cache on this machine and never from the network.
    What goes into the cache is verified first, up to a pinned root.
    """


def _store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = cache_option(command)
    return click.option(
        "--anchor",
        "anchors",
        multiple=True,
        metavar="FILE|sha256:...",
        help="Root to trust instead of the vendors' pinned roots.",
    )(command)


def _anchors(given: Sequence[str]) -> tuple[Digest, ...]:
    return tuple(d for text in given for d in read_anchor(text)) or tuple(PRODUCTION_ROOTS)


def _store(
    out: Output,
    items: Iterable[Item],
    cache: Path,
    anchors: Sequence[str],
    *,
    wanted: Sequence[Wanted] = (),
) -> None:
    """Verifies everything, then stores everything: a refusal leaves the cache as it was."""
    store = CollateralCache(cache)
    pieces = certify(list(items), anchors=_anchors(anchors), known=known_certificates(store))
    check_fetched(wanted, pieces, now=_clock())
    with writing(cache):
        entries = store.add(pieces)
    for entry in entries:
        out.fact(f"{entry.key} is signed under root {entry.root}")
    _show(out, entries, store, now=_clock())


def _clock() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@group.command("import")
@click.argument("files", nargs=-1, required=True, type=PATH)
@_store_options
@with_output
def import_(out: Output, files: tuple[Path, ...], anchors: tuple[str, ...], cache: Path) -> None:
    """Verify FILES and put them into the cache: whatever a vendor hands out, in any order.

    dcap-qvl's JSON, answers of Intel's PCS, certificates and revocation lists (PEM or DER),
    NVIDIA's manifests. Chains may be in the same files, in others, or in the cache already.

    \b
    Example: accord collateral import collateral.json vcek.der cert_chain.pem
    """
    items = [
        item
        for path in files
        for item in recognise(read_file(path, limit=MAX_FILE_BYTES), what=str(path))
    ]
    _store(out, items, cache, anchors)


@group.command("fetch")
@click.argument("evidence", required=False, type=PATH)
@click.option(
    "--family",
    type=click.Choice([family.value for family in Family]),
    help="Which TEE the evidence is from, or which of Intel's --fmspc means.",
)
@click.option("--fmspc", metavar="HEX", help="An Intel platform, without evidence of it.")
@click.option(
    "--ca",
    type=click.Choice(["platform", "processor"]),
    default="platform",
    show_default=True,
    help="Which CA certified the Intel platform.",
)
@click.option(
    "--product",
    type=click.Choice([product.value for product in Product]),
    help="An AMD product: its chain and revocation list.",
)
@click.option("--rim", metavar="ID", help="One of NVIDIA's manifests.")
@click.option("--url", help="A mirror or PCCS instead of the vendor's service.")
@click.option("--tls-ca", type=PATH, help="Certificates to trust for TLS with it.")
@_store_options
@with_output
def fetch_(
    out: Output,
    evidence: Path | None,
    family: str | None,
    fmspc: str | None,
    ca: str,
    product: str | None,
    rim: str | None,
    url: str | None,
    tls_ca: Path | None,
    anchors: tuple[str, ...],
    cache: Path,
) -> None:
    """Fetch what the vendors have for the platform of EVIDENCE, verify it, and store it.

    The only command that uses the network for this, and only when you type it. Proxies of
    the environment are used. What does not verify, is of another platform or has expired is
    not stored, and the old is kept.

    \b
    Example:
      accord collateral fetch quote.dat
      accord collateral fetch --family tdx --fmspc b0c06f000000 --ca platform
    """
    wanted = _wanted(evidence, family, fmspc, ca, product, rim)
    for item in wanted:
        out.note(f"fetching {(url or item.base).rstrip('/')}{item.path}")
    get = https_get(context=_context(tls_ca))
    _store(out, list(fetch(wanted, get=get, url=url)), cache, anchors, wanted=wanted)


def _context(tls_ca: Path | None) -> ssl.SSLContext | None:
    if tls_ca is None:
        return None
    try:
        return ssl.create_default_context(cadata=read_file(tls_ca).decode("ascii"))
    except (ssl.SSLError, ValueError) as exc:
        raise click.BadParameter("expected certificates in PEM", param_hint="--tls-ca") from exc


def _wanted(
    evidence: Path | None,
    family: str | None,
    fmspc: str | None,
    ca: str,
    product: str | None,
    rim: str | None,
) -> tuple[Wanted, ...]:
    if len([item for item in (evidence, fmspc, product, rim) if item is not None]) != 1:
        raise click.UsageError("give EVIDENCE, or one of --fmspc, --product and --rim")
    if fmspc is not None:
        known = len(fmspc) == _FMSPC_DIGITS and all(c in "0123456789abcdefABCDEF" for c in fmspc)
        if not known or family not in {"sgx", "tdx"}:
            raise click.UsageError("--fmspc takes 12 hex digits, with --family sgx or tdx")
        return intel(family, fmspc.lower(), ca)
    if product is not None:
        return (*amd(Product(product)), *amd(Product(product), vlek=True))
    if rim is not None:
        if not rim.replace("_", "").replace(".", "").replace("-", "").isalnum():
            raise click.BadParameter("expected an id like NV_GPU_DRIVER_GH100_550.144.03")
        return nvidia(rim)
    path = evidence or Path()
    found = read_evidence(
        read_file(path, limit=MAX_VERDICT_BYTES),
        family=None if family is None else Family(family),
        aux={},
        what=str(path),
    )
    return wanted_for(found.evidence)


@group.command()
@click.argument("key", required=False)
@click.option("--now", help="Judge expiry as of this moment (2025-07-01T00:00:00Z).")
@cache_option
@with_output
def show(out: Output, key: str | None, now: str | None, cache: Path) -> None:
    """Show what the cache holds, from when until when, and what is about to expire.

    KEY shows only entries whose key starts with it.

    \b
    Example: accord collateral show intel --now 2025-07-01T00:00:00Z
    """
    store = CollateralCache(cache)
    entries = [entry for entry in store.entries() if entry.key.startswith(key or "")]
    _show(out, entries, store, now=_clock() if now is None else read_now(now))


def _show(out: Output, entries: Sequence[Entry], store: CollateralCache, *, now: datetime) -> None:
    newest = {entry.key: entry for entry in sorted(entries, key=lambda item: item.not_before)}
    for entry in newest.values():
        state = _state(entry, now)
        if state != "valid":
            out.warn(f"{entry.key}: {state}, {format_time(entry.not_after)}")
    listed: list[JSONValue] = [entry.to_json() | {"state": _state(entry, now)} for entry in entries]
    rows = [
        (
            entry.key,
            _state(entry, now),
            format_time(entry.not_before),
            format_time(entry.not_after),
            entry.data.removeprefix("sha256:")[:12],
        )
        for entry in entries
    ]
    out.result(
        {
            "schema": "accord.collateral.v1",
            "cache": str(store.path),
            "now": format_time(now),
            "entries": listed,
        },
        table(("key", "state", "from", "until", "sha256"), rows) if rows else ["nothing"],
    )


def _state(entry: Entry, now: datetime) -> str:
    if now > entry.not_after:
        return "expired"
    if now < entry.not_before:
        return "not valid yet"
    return "expires soon" if entry.not_after - now <= WARN_BEFORE else "valid"
