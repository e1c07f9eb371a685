# SPDX-License-Identifier: Apache-2.0
"""Keystone reports: the parser, and the curve arithmetic under keys that anybody chooses."""

from __future__ import annotations

from collections.abc import Callable

from accord.evidence.keystone._ed25519_sha3 import verify
from accord.evidence.keystone._report import parse_report


def _verify(data: bytes) -> None:
    verify(data[:32], data[32:96], data[96:], what="fuzz", by="fuzz")


TARGETS: dict[str, Callable[[bytes], object]] = {
    "keystone-report": parse_report,
    "keystone-ed25519": _verify,
}
