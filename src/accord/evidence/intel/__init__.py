# SPDX-License-Identifier: Apache-2.0
"""Intel SGX and TDX: quotes, PCK certificates, TCB info and quoting enclave identity."""

from accord.evidence.intel._collateral import Collateral
from accord.evidence.intel._engine import verify_with_dcap_qvl
from accord.evidence.intel._import import signed_member
from accord.evidence.intel._pck import PCKExtension, parse_pck_extension
from accord.evidence.intel._quote import Quote, SGXReport, TDReport, parse_quote
from accord.evidence.intel._sgx import parse_sgx, verify_sgx
from accord.evidence.intel._tdx import parse_tdx, verify_tdx

__all__ = [
    "Collateral",
    "PCKExtension",
    "Quote",
    "SGXReport",
    "TDReport",
    "parse_pck_extension",
    "parse_quote",
    "parse_sgx",
    "parse_tdx",
    "signed_member",
    "verify_sgx",
    "verify_tdx",
    "verify_with_dcap_qvl",
]
