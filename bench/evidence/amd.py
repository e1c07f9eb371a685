# SPDX-License-Identifier: Apache-2.0
"""SEV-SNP: one report with its three certificates."""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from accord.evidence import Evidence
from accord.evidence import _certificate as certificate
from accord.evidence import _chain as chain
from accord.evidence.amd import Product, verify_snp
from accord.testing import SimulatedSNP
from bench.evidence import ROUNDS, Case

_TARGET_MS = 2.0
_DATA = bytes(range(64))


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        machine = SimulatedSNP.create(Path(folder) / "snp")
        yield from _cases(machine)


def _cases(machine: SimulatedSNP) -> Iterator[Case]:
    now = datetime.now(UTC)
    evidence = machine.collect(_DATA, product=Product.MILAN)

    def verify(item: Evidence) -> None:
        verify_snp(item, anchors=machine.anchors, now=now)

    def cold() -> None:
        certificate.parse_certificate.cache_clear()
        chain._verify_issued.cache_clear()  # noqa: SLF001 - nothing may be remembered
        verify(evidence)

    yield Case(
        "snp",
        cold,
        target=_TARGET_MS,
        reference=_oracle(machine, evidence),
        note="nothing remembered; reference: omne-attest",
    )
    # RSA-PSS is salted: each of these has a VCEK certificate that was never seen before.
    fresh = iter([machine.collect(_DATA, product=Product.MILAN) for _ in range(ROUNDS + 5)])
    yield Case(
        "snp.new_chip",
        lambda: verify(next(fresh)),
        target=_TARGET_MS,
        note="AMD's own certificates seen before",
    )
    yield Case(
        "snp.known_chip", lambda: verify(evidence), target=_TARGET_MS, note="all seen before"
    )


def _oracle(machine: SimulatedSNP, evidence: Evidence) -> Callable[[], object] | None:
    try:
        oracle = importlib.import_module("omne_attest.snp")
    except ImportError:
        return None
    pinned = bytes.fromhex(machine.root_of(Product.MILAN).removeprefix("sha256:"))
    certificates = [evidence.endorsements[name] for name in ("vcek", "ask", "ark")]

    def verify() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its library warns of serial number 0
            oracle.verify(evidence.blob, *certificates, pinned, oracle.Policy())

    return verify
