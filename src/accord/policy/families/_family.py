# SPDX-License-Identifier: Apache-2.0
"""The families, and the shape of what can be appraised of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

Scalar = int | str | bool
"""The value of an attribute."""


class Family(StrEnum):
    """TEE families that evidence can come from."""

    SGX = "sgx"
    TDX = "tdx"
    SNP = "snp"
    TPM = "tpm"
    TXT = "txt"
    AZURE = "azure"
    NITRO = "nitro"
    PSA = "psa"
    CCA = "cca"
    KEYSTONE = "keystone"
    NVIDIA = "nvidia"


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyFields:
    """What a policy may name of one family, and what it demands where the policy is silent.

    ``measurements`` maps each name to the sizes in bytes that its value can have.
    ``attributes`` maps each other fact to its type. ``defaults`` lists what an attribute must
    equal (one of) unless the policy itself lists values for it: the safe setting.
    ``required`` is a list of alternatives: a variant must name every field of at least one of
    them (``components`` stands for the component rules), since one that named no code would
    admit any. ``instance_sizes`` are the sizes in bytes that the name of a machine can have.
    ``has_tcb_status`` says whether the vendor rates the platform.
    """

    measurements: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    attributes: Mapping[str, type[int | str | bool]] = field(default_factory=dict)
    defaults: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    required: tuple[frozenset[str], ...]
    instance_sizes: Sequence[int]
    has_tcb_status: bool = False

    def __post_init__(self) -> None:
        for name in ("measurements", "attributes", "defaults"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
