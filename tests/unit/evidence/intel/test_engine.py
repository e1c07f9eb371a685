# SPDX-License-Identifier: Apache-2.0
"""dcap-qvl as an engine: the same claims, the same refusals."""

import dataclasses
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from accord.encoding import sha256
from accord.errors import (
    AnchorUnknownError,
    DebugRefusedError,
    EngineMissingError,
    EngineRefusedError,
    EnvironmentRefusedError,
    EvidenceError,
    EvidenceMalformedError,
)
from accord.evidence import Evidence, Verified
from accord.evidence.intel import verify_sgx, verify_tdx, verify_with_dcap_qvl
from accord.policy import Family
from accord.testing import _pki, _quote

needs_engine = pytest.mark.skipif(
    find_spec("dcap_qvl") is None,
    reason="SKIPPED: the optional dcap-qvl is not installed",
)
OWN: dict[Family, Callable[..., Verified]] = {Family.SGX: verify_sgx, Family.TDX: verify_tdx}


def engine(vector: Any, **changes: Any) -> Verified:
    evidence = dataclasses.replace(vector.evidence, **changes)
    return verify_with_dcap_qvl(evidence, anchors=vector.anchors, now=vector.now)


@needs_engine
def test_claims_and_refusals_are_the_same_for_every_vector(generate: Any) -> None:
    """Whichever engine is asked, the claims are equal, and so is the reason of a refusal."""
    for vector in generate.vectors():
        if vector.name in {"sept_ve_enabled", "migratable", "service_td"}:
            continue
        own = OWN[vector.evidence.family]
        outcomes = []
        for verify in (own, verify_with_dcap_qvl):
            try:
                found: object = verify(vector.evidence, anchors=vector.anchors, now=vector.now)
            except EvidenceError as exc:
                found = type(exc), str(exc)
            outcomes.append(found)

        assert (vector.name, outcomes[0]) == (vector.name, outcomes[1])


@needs_engine
@pytest.mark.parametrize("name", ["sept_ve_enabled", "migratable", "service_td"])
def test_what_it_always_refuses_is_told_as_such(generate: Any, name: str) -> None:
    """A TD that only policy can judge is not blamed: the engine is."""
    vector = next(item for item in generate.vectors() if item.name == name)
    verify_tdx(vector.evidence, anchors=vector.anchors, now=vector.now)

    with pytest.raises(EngineRefusedError, match="dcap-qvl refuses"):
        engine(vector)


@needs_engine
def test_its_chain_may_be_spelled_in_any_way(generate: Any, maker: Any, good: Any) -> None:
    """A chain without its root, or with more beside it, takes the long way to the same claims."""
    chain = maker.world.pck_chain
    bare = chain[: chain.rindex(b"-----BEGIN")]
    certification = _quote.certify(maker.world.pck, maker.world.attestation, bare)
    blob = maker.world.quote(maker.data, certification=certification)

    assert engine(good) == engine(good, blob=blob)


@needs_engine
def test_a_chain_beside_the_quote_is_used(maker: Any, good: Any) -> None:
    """Quotes that only name their PCK certificate work with the engine too."""
    world = maker.world
    certified = world.certification()
    at = certified.index(world.pck_chain)
    named = certified[: at - 6] + b"\x01\0" + (36).to_bytes(4, "little") + bytes(36)
    named = named[:66] + (len(named) - 70).to_bytes(4, "little") + named[70:]
    beside = dataclasses.replace(good.collateral, pck_certificate_chain=world.pck_chain.decode())
    blob = world.quote(maker.data, certification=named)

    assert engine(good) == engine(good, blob=blob, endorsements=beside.to_endorsements())


@needs_engine
def test_a_chain_beside_a_quote_that_has_one_is_not_used(maker: Any, good: Any) -> None:
    """The quote's own chain counts, whichever engine is asked."""
    stranger = maker.other.pck_chain.decode()
    beside = dataclasses.replace(good.collateral, pck_certificate_chain=stranger)

    assert engine(good) == engine(good, endorsements=beside.to_endorsements())


@needs_engine
@pytest.mark.parametrize(
    ("bits", "error"),
    [(1, DebugRefusedError), (1 << 28 | 1 << 16, EnvironmentRefusedError)],
)
def test_attributes_are_judged_by_us(
    good: Any, maker: Any, bits: int, error: type[Exception]
) -> None:
    """What the engine does not know of, we still refuse."""
    blob = maker.world.quote(maker.data, td_attributes=bits)
    with pytest.raises(error):
        engine(good, blob=blob)


@needs_engine
def test_a_root_that_is_not_pinned_is_refused(good: Any) -> None:
    """The engine is given no root but a pinned one."""
    with pytest.raises(AnchorUnknownError):
        verify_with_dcap_qvl(good.evidence, anchors=[sha256(b"")], now=good.now)


@needs_engine
@pytest.mark.parametrize("damage", [b"AAA", b"M!I"])
def test_a_damaged_chain_is_refused_by_our_own_errors(good: Any, maker: Any, damage: bytes) -> None:
    """No error of the engine's, nor of a reader's, escapes."""
    chain = maker.world.pck_chain.replace(b"MII", damage, 1)
    certification = _quote.certify(maker.world.pck, maker.world.attestation, chain)
    with pytest.raises(EvidenceError):
        engine(good, blob=maker.world.quote(maker.data, certification=certification))


@needs_engine
def test_evidence_of_another_family_is_malformed(good: Any) -> None:
    """It is only asked about Intel's."""
    with pytest.raises(EvidenceMalformedError):
        engine(good, family=Family.SGX)


def test_a_missing_engine_says_how_to_get_it(good: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for an engine that is not there gets no other by stealth."""
    monkeypatch.setitem(sys.modules, "dcap_qvl", None)
    with pytest.raises(EngineMissingError, match="dcap-qvl is not installed") as caught:
        engine(good)

    assert "pip install" in caught.value.hint


def test_our_own_verifier_does_not_need_it(good: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is optional."""
    monkeypatch.setitem(sys.modules, "dcap_qvl", None)
    evidence: Evidence = good.evidence

    assert verify_tdx(evidence, anchors=good.anchors, now=good.now).claims.tcb_status == "UpToDate"


@needs_engine
@pytest.mark.parametrize("field", ["tcb_info", "qe_identity"])
@pytest.mark.parametrize("place", ["alone", "before", "after"])
def test_a_platform_cannot_rate_itself(
    good: Any, maker: Any, cases_of_theft: Any, field: str, place: str
) -> None:
    """The engine does not ask whether a signer may sign TCB info: a PCK key would do."""
    collateral = cases_of_theft(field, place)
    with pytest.raises(EvidenceError):
        verify_tdx(
            dataclasses.replace(good.evidence, endorsements=collateral.to_endorsements()),
            anchors=good.anchors,
            now=good.now,
        )

    with pytest.raises(EvidenceError) as caught:
        engine(good, endorsements=collateral.to_endorsements())

    assert not isinstance(caught.value, EngineRefusedError)


@pytest.fixture
def cases_of_theft(good: Any, maker: Any) -> Callable[[str, str], Any]:
    """Collateral with one text signed by the platform, whose chain is given in its place."""

    def steal(field: str, place: str) -> Any:
        text = getattr(good.collateral, field)
        own, theirs = maker.world.pck_chain.decode(), good.collateral.tcb_info_issuer_chain
        chains = {"alone": own, "before": own + theirs, "after": theirs + own}
        return dataclasses.replace(
            good.collateral,
            **{
                f"{field}_signature": _pki.raw_signature(maker.world.pck, text.encode()),
                f"{field}_issuer_chain": chains[place],
            },
        )

    return steal


@needs_engine
@pytest.mark.parametrize(
    "changes", [{"aux": {"ccell": b"x"}}, {"endorsements": {"pck_crll": b"x"}}]
)
def test_attachments_that_nobody_reads_are_refused(good: Any, changes: Any) -> None:
    """A misspelt log would prove nothing, and nobody would notice."""
    endorsements = {**good.evidence.endorsements, **changes.get("endorsements", {})}
    with pytest.raises(EvidenceMalformedError, match="is unknown"):
        engine(good, **{**changes, "endorsements": endorsements})
