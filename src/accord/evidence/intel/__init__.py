# SPDX-License-Identifier: Apache-2.0
"""Intel SGX and TDX: quotes, PCK certificates, TCB info and quoting enclave identity."""

from accord.evidence.intel._collateral import Collateral
from accord.evidence.intel._tdx import parse_tdx, verify_tdx

__all__ = ["Collateral", "parse_tdx", "verify_tdx"]
