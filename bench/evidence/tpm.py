# SPDX-License-Identifier: Apache-2.0
"""Quotes of a software TPM: bare, with a certified key, with logs, and of a late launch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from accord.encoding import Digest
from accord.evidence import Evidence, verify_unbound
from accord.evidence._certificate import parse_certificate
from accord.evidence._chain import _verify_issued
from accord.evidence.tpm import parse_public
from accord.testing import SimulatedTPM, SimulatedTXT
from bench.evidence import Case

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ROUNDS = 300
_LOGS = {"event_log", "ima_log"}


def cases() -> Iterator[Case]:
    """Keys and certificates are parsed and verified anew each time."""
    for kind in ("p256", "rsa2048"):
        with tempfile.TemporaryDirectory() as folder:
            machine = SimulatedTPM.create(Path(folder), kind=kind, now=_NOW)
            evidence = machine.collect(bytes(64))
            launched = SimulatedTXT.load(Path(folder)).collect(bytes(64))
        quote = {name: data for name, data in evidence.aux.items() if name not in _LOGS}
        certified = replace(evidence, aux=quote)
        pinned = replace(certified, endorsements={})
        yield _case(f"tpm-quote-{kind}", pinned, [machine.ak_digest], target=0.3)
        yield _case(f"tpm-certified-{kind}", certified, [machine.root_digest])
        yield _case(f"tpm-with-logs-{kind}", evidence, [machine.root_digest])
        yield _case(f"txt-{kind}", launched, [machine.root_digest])


def _case(
    name: str, evidence: Evidence, anchors: Sequence[Digest], *, target: float | None = None
) -> Case:
    def verify() -> object:
        for cached in (parse_public, parse_certificate, _verify_issued):
            cached.cache_clear()
        return verify_unbound(evidence, anchors=anchors, now=_NOW)

    return Case(name, verify, target=target, rounds=_ROUNDS)
