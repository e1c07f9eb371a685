# SPDX-License-Identifier: Apache-2.0
"""AMD SEV-SNP: attestation reports of versions 2 to 5 by VCEK and VLEK; Milan, Genoa, Turin."""

from accord.evidence.amd._endorsements import (
    read_certificate_table,
    split_extended_report,
    write_certificate_table,
)
from accord.evidence.amd._product import (
    Product,
    product_of_cpu,
    product_of_name,
    spl_numbers,
    tcb_names,
)
from accord.evidence.amd._report import Report, parse_report
from accord.evidence.amd._snp import parse_snp, verify_snp
from accord.evidence.amd._vek import read_vek

__all__ = [
    "Product",
    "Report",
    "parse_report",
    "parse_snp",
    "product_of_cpu",
    "product_of_name",
    "read_certificate_table",
    "read_vek",
    "spl_numbers",
    "split_extended_report",
    "tcb_names",
    "verify_snp",
    "write_certificate_table",
]
