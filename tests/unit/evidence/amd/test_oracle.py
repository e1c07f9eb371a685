# SPDX-License-Identifier: Apache-2.0
"""An independent verifier accepts what we simulate, and refuses what we refuse."""

import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from accord.errors import AccordError
from accord.evidence import Evidence
from accord.evidence.amd import Product, verify_snp
from accord.testing import SimulatedSNP

DATA = bytes(range(64))

oracle = pytest.importorskip(
    "omne_attest.snp", reason="SKIPPED: the test oracle omne-attest is not installed"
)


@pytest.fixture(autouse=True)
def _serial_numbers_of_zero() -> Iterator[None]:
    """The oracle's library warns of AMD's serial numbers, which would be an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ask_oracle(evidence: Evidence, machine: SimulatedSNP, product: Product, **policy: Any) -> Any:
    pinned = bytes.fromhex(machine.root_of(product).removeprefix("sha256:"))
    der = [evidence.endorsements[name] for name in ("vcek", "ask", "ark")]
    return oracle.verify(evidence.blob, *der, pinned, oracle.Policy(**policy))


@pytest.mark.parametrize("product", [Product.MILAN, Product.GENOA])
@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_it_accepts_our_reports(machine: SimulatedSNP, product: Product, version: int) -> None:
    """Under our own root as its pinned one, with the same values in every field it reads."""
    evidence = machine.collect(DATA, product=product, version=version)

    report = ask_oracle(evidence, machine, product, report_data=DATA)

    written = machine.report(product, version=version)
    assert (report.measurement, report.chip_id) == (written.measurement, written.chip_id)
    assert report.vmpl == 0


@pytest.mark.parametrize(
    "change",
    [
        {"endorsed": {"tcb": bytes((9, 0, 0, 0, 0, 0, 25, 84))}},
        {"chip_id": b"\x05" * 64},
        {"version": 6},
        {"signature_algorithm": 2},
    ],
)
def test_it_refuses_what_we_refuse(
    machine: SimulatedSNP, now: datetime, change: dict[str, Any]
) -> None:
    """Mismatching keys and unknown formats."""
    evidence = machine.collect(DATA, **change)

    with pytest.raises(oracle.Fail):
        ask_oracle(evidence, machine, Product.GENOA)
    with pytest.raises(AccordError):
        verify_snp(evidence, anchors=machine.anchors, now=now)


@pytest.mark.parametrize("at", range(0, 0x330, 61))
def test_both_refuse_the_same_mutations(machine: SimulatedSNP, now: datetime, at: int) -> None:
    """A flipped bit in report or signature."""
    evidence = machine.collect(DATA)
    blob = bytearray(evidence.blob)
    blob[at] ^= 1
    changed = Evidence(evidence.family, bytes(blob), evidence.endorsements)

    with pytest.raises(AccordError):
        verify_snp(changed, anchors=machine.anchors, now=now)
    if any(0x2A0 + start + 48 <= at < 0x2A0 + start + 72 for start in (0, 72)):
        return  # it does not look at the padding of r and s: there we are stricter
    with pytest.raises(oracle.Fail):
        ask_oracle(changed, machine, Product.GENOA)
