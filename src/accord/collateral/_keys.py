# SPDX-License-Identifier: Apache-2.0
"""What each entry of the cache is about, spelled in one place."""

ROOT_CRL = "intel/crl/root"
PCK_CRL = "intel/crl/{ca}"
TCB_INFO = "intel/tcb-info/{tee}/{fmspc}"
QE_IDENTITY = "intel/qe-identity/{tee}"

AMD_CHAIN = "amd/chain/{product}/{kind}"
AMD_CRL = "amd/crl/{product}"
VCEK = "amd/vcek/{product}/{chip}/{tcb}"
VLEK = "amd/vlek/{product}/{tcb}"

MANIFESTS = "nvidia/rim/"
MANIFEST = "nvidia/rim/{product}/{version}"
CERTIFICATE = "certificate/{name}"
OTHER_CRL = "crl/{name}"
