# SPDX-License-Identifier: Apache-2.0
"""Parsers of reference values and of attestation results."""

from __future__ import annotations

from datetime import UTC, datetime

from accord.encoding import decode_cbor
from accord.evidence import EAR, PRIVATE_CLAIMS, verify_cwt, verify_jwt
from accord.identity import VerifyKey
from accord.refvalues import import_corim, measure_registers, parse_sigstruct, parse_tdvf

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_KEY = VerifyKey(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))

TARGETS = {
    "cbor": lambda data: decode_cbor(data, what="x"),
    "corim": lambda data: import_corim(data, signer=None, now=_NOW),
    "ear-cbor": lambda data: EAR.from_cbor(data, private=[PRIVATE_CLAIMS]),
    "ear-cwt": lambda data: verify_cwt(data, key=_KEY, now=_NOW),
    "ear-jwt": lambda data: verify_jwt(data.decode("latin-1"), key=_KEY, now=_NOW),
    "sigstruct": parse_sigstruct,
    "tdvf": parse_tdvf,
    "reference-log": measure_registers,
}
