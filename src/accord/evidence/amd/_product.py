# SPDX-License-Identifier: Apache-2.0
"""AMD's product lines: which root, which CPUs, and how their TCB versions are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

TCB_BYTES = 8


class Product(StrEnum):
    """A product line of EPYC processors, as its root certificate names it."""

    MILAN = "Milan"
    GENOA = "Genoa"
    TURIN = "Turin"


_BEFORE_TURIN: Mapping[int, str] = MappingProxyType(
    {0: "bootloader", 1: "tee", 6: "snp", 7: "microcode"}
)
_SINCE_TURIN: Mapping[int, str] = MappingProxyType(
    {0: "fmc", 1: "bootloader", 2: "tee", 3: "snp", 7: "microcode"}
)

# The extension 1.3.6.1.4.1.3704.1.3.N that stands for each byte (57230, 3.1: blSPL 1, teeSPL 2,
# snpSPL 3, spl_4 to spl_7, ucodeSPL 8, fmcSPL 9).
_SPL_BEFORE_TURIN = (1, 2, 4, 5, 6, 7, 3, 8)
_SPL_SINCE_TURIN = (9, 1, 2, 3, 5, 6, 7, 8)

_LINE_OF_NAME: Mapping[str, Product] = MappingProxyType(
    {**{item.value: item for item in Product}, "Bergamo": Product.GENOA, "Siena": Product.GENOA}
)


def tcb_names(product: Product) -> Mapping[int, str]:
    """The components of a TCB version by the byte they are in (56860, 2.2)."""
    return _SINCE_TURIN if product is Product.TURIN else _BEFORE_TURIN


def spl_numbers(product: Product) -> tuple[int, ...]:
    """The number of the certificate extension for each byte of a TCB version."""
    return _SPL_SINCE_TURIN if product is Product.TURIN else _SPL_BEFORE_TURIN


def product_of_name(name: str) -> Product | None:
    """The line of a ``productName`` such as ``Milan-B0`` or ``Turin`` (57230, 3.1)."""
    return _LINE_OF_NAME.get(name.partition("-")[0])


def product_of_cpu(family: int, model: int) -> Product | None:
    """The line of a CPU by its combined family and model (56860, 7.3: CPUID_FAM_ID)."""
    match family, model >> 4:
        case 0x19, 0x0:
            return Product.MILAN
        case 0x19, 0x1 | 0xA:  # 0xA: Bergamo and Siena, of the same line
            return Product.GENOA
        case 0x1A, 0x0 | 0x1:
            return Product.TURIN
        case _:
            return None
