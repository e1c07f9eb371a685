# SPDX-License-Identifier: Apache-2.0
"""What a policy may say of each TEE family: one module per vendor, data only."""

from collections.abc import Mapping
from types import MappingProxyType

from accord.policy.families._amd import SNP
from accord.policy.families._arm import CCA, PSA
from accord.policy.families._azure import AZURE
from accord.policy.families._family import Family, FamilyFields, Scalar
from accord.policy.families._intel import SGX, TDX
from accord.policy.families._keystone import KEYSTONE
from accord.policy.families._nitro import NITRO
from accord.policy.families._nvidia import NVIDIA
from accord.policy.families._tpm import TPM, TXT

FAMILIES: Mapping[Family, FamilyFields] = MappingProxyType(
    {
        Family.SGX: SGX,
        Family.TDX: TDX,
        Family.SNP: SNP,
        Family.TPM: TPM,
        Family.TXT: TXT,
        Family.AZURE: AZURE,
        Family.NITRO: NITRO,
        Family.PSA: PSA,
        Family.CCA: CCA,
        Family.KEYSTONE: KEYSTONE,
        Family.NVIDIA: NVIDIA,
    }
)
"""The appraisable fields of every family."""

__all__ = ["FAMILIES", "Family", "FamilyFields", "Scalar"]
