# SPDX-License-Identifier: Apache-2.0
"""What guests of the Key Broker protocol send."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from accord.encoding import parse_json
from accord.policy import Family
from accord.service.kbs._messages import NEW, OLD, Attestation, Hello


def _hello(data: bytes) -> object:
    return Hello.from_json(parse_json(data, what="request"))


def _attestation(version: str, family: Family) -> Callable[[bytes], object]:
    hello = Hello(version, family, chooses=False)

    def read(data: bytes) -> object:
        return Attestation.from_json(parse_json(data, what="attestation"), hello, "nonce")

    return read


TARGETS: Mapping[str, Callable[[bytes], object]] = {
    "kbs-auth": _hello,
    "kbs-attest-old": _attestation(OLD, Family.SNP),
    "kbs-attest-new": _attestation(NEW, Family.TDX),
}
