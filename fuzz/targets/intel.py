# SPDX-License-Identifier: Apache-2.0
"""The parsers of SGX and TDX quotes and of Intel's endorsements."""

from __future__ import annotations

from collections.abc import Callable

from accord.evidence.intel import Collateral
from accord.evidence.intel._ccel import _check_table
from accord.evidence.intel._chains import read_certificates
from accord.evidence.intel._import import list_der
from accord.evidence.intel._pck import parse_pck_extension
from accord.evidence.intel._quote import parse_quote
from accord.evidence.intel._tcb import parse_qe_identity, parse_tcb_info


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("latin-1"))


TARGETS: dict[str, Callable[[bytes], object]] = {
    "intel-quote": parse_quote,
    "intel-pck": parse_pck_extension,
    "intel-certificates": read_certificates,
    "intel-list": list_der,
    "intel-tcb-info": _text(parse_tcb_info),
    "intel-qe-identity": _text(parse_qe_identity),
    "intel-collateral": Collateral.from_bytes,
    "intel-part": lambda data: Collateral.from_pcs_parts({"part": data}),
    "intel-ccel-table": lambda data: _check_table(data, 0),
}
