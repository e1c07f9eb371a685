# SPDX-License-Identifier: Apache-2.0
"""Nitro attestation documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import cbor2

from accord.evidence import PRODUCTION_ROOTS, Evidence
from accord.evidence.nitro import decode_document, verify_nitro
from accord.policy import Family

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ANCHORS = tuple(PRODUCTION_ROOTS)
_HEAD = bytes.fromhex("8444a1013822a0")


def _document(data: bytes) -> None:
    evidence = Evidence(Family.NITRO, decode_document(data))
    verify_nitro(evidence, anchors=_ANCHORS, now=_NOW)


def _fields(data: bytes) -> None:
    """The payload by itself, in a message that is well formed."""
    _document(_HEAD + cbor2.dumps(data) + cbor2.dumps(bytes(96)))


TARGETS: dict[str, Callable[[bytes], object]] = {"nitro": _document, "nitro-fields": _fields}
