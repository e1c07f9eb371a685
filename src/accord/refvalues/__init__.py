# SPDX-License-Identifier: Apache-2.0
"""Reference values: computed from images and logs, or imported from a manifest (CoRIM)."""

from accord.refvalues._corim import Manifest, import_corim
from accord.refvalues._enclave import SigStruct, measure_enclave, parse_sigstruct
from accord.refvalues._registers import measure_registers, measure_runtime_registers
from accord.refvalues._snp import VMM, LaunchOptions, measure_snp
from accord.refvalues._tdvf import PageOrder, Section, measure_tdvf, parse_tdvf
from accord.refvalues._values import ReferenceValues, variants_yaml

__all__ = [
    "VMM",
    "LaunchOptions",
    "Manifest",
    "PageOrder",
    "ReferenceValues",
    "Section",
    "SigStruct",
    "import_corim",
    "measure_enclave",
    "measure_registers",
    "measure_runtime_registers",
    "measure_snp",
    "measure_tdvf",
    "parse_sigstruct",
    "parse_tdvf",
    "variants_yaml",
]
