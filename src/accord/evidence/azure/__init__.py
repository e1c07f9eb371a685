# SPDX-License-Identifier: Apache-2.0
"""Azure confidential VMs: HCL reports of SEV-SNP and TDX, and the vTPM that they vouch for."""

from accord.evidence.azure._azure import ParsedAzure, parse_azure, verify_azure
from accord.evidence.azure._report import HCLReport, parse_hcl_report
from accord.evidence.azure._runtime import RuntimeData, parse_runtime_data

__all__ = [
    "HCLReport",
    "ParsedAzure",
    "RuntimeData",
    "parse_azure",
    "parse_hcl_report",
    "parse_runtime_data",
    "verify_azure",
]
