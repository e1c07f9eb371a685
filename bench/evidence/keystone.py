# SPDX-License-Identifier: Apache-2.0
"""Keystone: two Ed25519 signatures with SHA3-512, in pure Python."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from accord.evidence import verify_unbound
from accord.evidence.keystone._ed25519_sha3 import _key_table
from accord.testing import SimulatedKeystone
from bench.evidence import Case

NOW = datetime(2026, 1, 15, tzinfo=UTC)


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as home:
        device = SimulatedKeystone.create(Path(home))
    evidence = device.collect(bytes(64))

    def ours() -> object:
        _key_table.cache_clear()
        return verify_unbound(evidence, anchors=device.anchors, now=NOW)

    yield Case("keystone", ours, target=15.0, note="no library takes SHA3-512")
