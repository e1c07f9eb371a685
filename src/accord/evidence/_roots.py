# SPDX-License-Identifier: Apache-2.0
"""Which roots stand for real hardware: pinned by the SHA-256 of their DER, never by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from accord.encoding import Digest
from accord.policy import Family


class RootKind(StrEnum):
    """The only thing that tells hardware from simulation."""

    PRODUCTION = "production"
    TEST = "test"


_INTEL = frozenset({Family.SGX, Family.TDX, Family.AZURE})
_AMD = frozenset({Family.SNP, Family.AZURE})
_AWS = frozenset({Family.NITRO})
_NVIDIA = frozenset({Family.NVIDIA})

_ROOTS = (
    (
        "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3",
        "Intel SGX Root CA",
        _INTEL,
    ),
    (
        "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
        "ARK-Milan",
        _AMD,
    ),
    (
        "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
        "ARK-Genoa",
        _AMD,
    ),
    (
        "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
        "ARK-Turin",
        _AMD,
    ),
    (
        "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b",
        "AWS Nitro Enclaves Root CA",
        _AWS,
    ),
    (
        "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48",
        "NVIDIA Device Identity CA",
        _NVIDIA,
    ),
    (
        "12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1",
        "NVIDIA CoRIM signing Root CA",
        _NVIDIA,
    ),
)

PRODUCTION_ROOTS: Mapping[Digest, str] = MappingProxyType(
    {Digest(f"sha256:{digest}"): name for digest, name, _ in _ROOTS}
)
"""Roots of TEE vendors, by the SHA-256 of the certificate's DER."""

_FAMILIES = {Digest(f"sha256:{digest}"): families for digest, _, families in _ROOTS}


def anchors_for(family: Family, anchors: Sequence[Digest]) -> tuple[Digest, ...]:
    """``anchors`` without the roots of other vendors: none vouches for another's hardware."""
    return tuple(anchor for anchor in anchors if family in _FAMILIES.get(anchor, (family,)))


def root_kind(anchor: Digest) -> RootKind:
    """Production where ``anchor`` is a vendor's root; every other root is a test root."""
    return RootKind.PRODUCTION if anchor in PRODUCTION_ROOTS else RootKind.TEST
