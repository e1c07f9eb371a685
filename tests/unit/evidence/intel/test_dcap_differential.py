# SPDX-License-Identifier: Apache-2.0
"""An independent verifier, dcap-qvl, agrees with ours about the same bytes."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from accord.errors import EvidenceError
from accord.evidence.intel._tdx import verify_tdx
from accord.testing import _quote

dcap_qvl = pytest.importorskip("dcap_qvl", reason="the optional dcap-qvl is not installed")

# Ours is stricter here on purpose: dcap-qvl takes any trailing bytes.
STRICTER = {"trailing_bytes_fail"}


def ours(blob: bytes, collateral: Any, anchors: Any, now: Any) -> tuple[str, set[str]] | None:
    try:
        claims, _ = verify_tdx(blob, collateral, anchors=anchors, now=now)
    except EvidenceError:
        return None
    return claims.tcb.status, set(claims.tcb.advisories)


def theirs(blob: bytes, collateral: Any, root: bytes, now: Any) -> tuple[str, set[str]] | None:
    try:
        document = dcap_qvl.QuoteCollateralV3.from_json(json.dumps(collateral.to_json()))
        report = dcap_qvl.verify_with_root_ca(blob, document, root, int(now.timestamp()))
    except ValueError:
        return None
    return None if report.status == "Revoked" else (report.status, set(report.advisory_ids))


def root_der(maker: Any) -> bytes:
    der: bytes = maker.world.certificates.root.public_bytes(Encoding.DER)
    return der


def test_both_verifiers_agree_about_every_vector(generate: Any, maker: Any) -> None:
    """Bindings aside, which only we know, both accept and refuse the same vectors."""
    for vector in generate.vectors():
        if vector.name in STRICTER or maker.world.root not in vector.anchors:
            continue
        blob, collateral = vector.evidence.blob, vector.evidence.collateral
        mine = ours(blob, collateral, vector.anchors, vector.now)

        assert (vector.name, mine) == (
            vector.name,
            theirs(blob, collateral, root_der(maker), vector.now),
        )


def test_both_verifiers_refuse_the_same_flipped_bytes(good: Any, maker: Any) -> None:
    """What dcap-qvl refuses, we refuse; we also refuse flips in unsigned framing."""
    blob, collateral = good.evidence.blob, good.evidence.collateral
    for at in range(0, len(blob), 37):
        flipped = blob[:at] + bytes((blob[at] ^ 0x10,)) + blob[at + 1 :]

        assert ours(flipped, collateral, good.anchors, good.now) is None, at
        if at < 636:
            assert theirs(flipped, collateral, root_der(maker), good.now) is None, at


@pytest.mark.parametrize("bit", [*range(8), 28, 29, 30, 40])
def test_both_verifiers_agree_about_attributes(good: Any, maker: Any, bit: int) -> None:
    """Debug, reserved, migration and protection keys are judged alike."""
    attributes = (
        _quote.SEPT_VE_DISABLE ^ 1 << bit if bit == 28 else _quote.SEPT_VE_DISABLE | 1 << bit
    )
    blob = maker.world.quote(maker.data, td_attributes=attributes)
    collateral = good.evidence.collateral

    assert ours(blob, collateral, good.anchors, good.now) == theirs(
        blob, collateral, root_der(maker), good.now
    )
