# SPDX-License-Identifier: Apache-2.0
"""AMD's certificates in the cache: which machine and firmware each is for, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from accord.collateral._keys import AMD_CHAIN, AMD_CRL, VCEK, VLEK
from accord.errors import CollateralUnknownError
from accord.evidence import Certificate
from accord.evidence.amd import (
    Product,
    Report,
    product_of_cpu,
    product_of_name,
    read_vek,
    tcb_names,
)

_VLEK_SIGNED = 1

_SPL = MappingProxyType(
    {
        "fmc": "fmcSPL",
        "bootloader": "blSPL",
        "tee": "teeSPL",
        "snp": "snpSPL",
        "microcode": "ucodeSPL",
    }
)
"""Query parameters of AMD's key distribution service (57230, 4.1) by TCB component."""

_TURIN_CHIP_BYTES = 8


def certificate_key(chain: Sequence[Certificate]) -> str | None:
    """What a verified chain of AMD's is about, None for a chain of somebody else.

    Raises ``ChainInvalidError`` or ``EvidenceMalformedError`` for one that AMD never issues.
    """
    leaf, root = chain[0], chain[-1]
    product = product_of_name(root.what.removeprefix("ARK-"))
    if product is None or not root.what.startswith("ARK-"):
        return None
    if leaf.what in {"SEV-VCEK", "SEV-VLEK"} and len(chain) == 3:  # noqa: PLR2004 - key, ASK, ARK
        vek = read_vek(tuple(chain), loaded=leaf.what == "SEV-VLEK")
        if vek.chip_id:
            return vcek_key(product, vek.chip_id, vek.tcb)
        return VLEK.format(product=product, tcb=vek.tcb.hex())
    return chain_key(product, vlek=leaf.what.startswith("SEV-VLEK-"))


def vcek_key(product: Product, chip_id: bytes, tcb: bytes) -> str:
    return VCEK.format(product=product, chip=_chip(product, chip_id), tcb=tcb.hex())


def chain_key(product: Product, *, vlek: bool) -> str:
    return AMD_CHAIN.format(product=product, kind="vlek" if vlek else "vcek")


def crl_key(product: Product) -> str:
    return AMD_CRL.format(product=product)


def _chip(product: Product, chip_id: bytes) -> str:
    return (chip_id[:_TURIN_CHIP_BYTES] if product is Product.TURIN else chip_id).hex()


def signed_by_vlek(report: Report) -> bool:
    """Which of its two keys the chip used."""
    return report.signing_key == _VLEK_SIGNED


def leaf_key(report: Report, product: Product) -> str:
    """The key of the certificate that vouches for ``report``."""
    if signed_by_vlek(report):
        return VLEK.format(product=product, tcb=report.reported_tcb.hex())
    return vcek_key(product, report.chip_id, report.reported_tcb)


def products(report: Report, named: Product | None = None) -> tuple[Product, ...]:
    """The product of ``report``; before version 3 none is named, and all are possible."""
    if named is not None:
        return (named,)
    if report.cpuid is None:
        return (Product.MILAN, Product.GENOA)
    product = product_of_cpu(report.cpuid.family, report.cpuid.model)
    if product is None:
        raise CollateralUnknownError(what="the report's CPU", detail="no product of AMD's we know")
    return (product,)


def vcek_path(report: Report, product: Product) -> str:
    """Where AMD's service has the certificate of the chip that made ``report``."""
    levels = {name: report.reported_tcb[at] for at, name in tcb_names(product).items()}
    query = "&".join(f"{_SPL[name]}={level:02}" for name, level in levels.items())
    return f"/vcek/v1/{product}/{_chip(product, report.chip_id)}?{query}"
