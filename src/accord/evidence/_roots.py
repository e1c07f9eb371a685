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
    }
)
"""Roots of TEE vendors, by the SHA-256 of the certificate's DER."""


def root_kind(anchor: Digest) -> RootKind:
    """Production where ``anchor`` is a vendor's root; every other root is a test root."""
    return RootKind.PRODUCTION if anchor in PRODUCTION_ROOTS else RootKind.TEST
