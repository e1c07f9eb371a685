# SPDX-License-Identifier: Apache-2.0
"""Which roots stand for real hardware: pinned by the SHA-256 of their DER, never by name."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from accord.encoding import Digest


class RootKind(StrEnum):
    """The only thing that tells hardware from simulation."""

    PRODUCTION = "production"
    TEST = "test"


PRODUCTION_ROOTS: Mapping[Digest, str] = MappingProxyType(
    {
        Digest(
            "sha256:44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
        ): "Intel SGX Root CA",
        Digest(
            "sha256:69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"
        ): "ARK-Milan",
        Digest(
            "sha256:4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1"
        ): "ARK-Genoa",
        Digest(
            "sha256:1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a"
        ): "ARK-Turin",
        Digest(
            "sha256:641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
        ): "AWS Nitro Enclaves Root CA",
        Digest(
            "sha256:102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"
        ): "NVIDIA Device Identity CA",
        Digest(
            "sha256:12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1"
        ): "NVIDIA CoRIM signing Root CA",
    }
)
"""Roots of TEE vendors, by the SHA-256 of the certificate's DER."""


def root_kind(anchor: Digest) -> RootKind:
    """Production where ``anchor`` is a vendor's root; every other root is a test root."""
    return RootKind.PRODUCTION if anchor in PRODUCTION_ROOTS else RootKind.TEST
