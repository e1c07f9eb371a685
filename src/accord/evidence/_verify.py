# SPDX-License-Identifier: Apache-2.0
"""One entry for every family of evidence: a pure function, offline."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from types import MappingProxyType
from typing import Protocol, cast

from accord.encoding import Digest
from accord.errors import (
    AnchorUnknownError,
    BindingMismatchError,
    EvidenceMalformedError,
    PartMismatchError,
)
from accord.evidence._binding import REPORT_DATA, Binding, link
from accord.evidence._claims import Claims, Verified
from accord.evidence._evidence import Evidence
from accord.evidence._roots import anchors_for
from accord.policy import Family

_MODULES: Mapping[Family, str] = MappingProxyType(
    {
        Family.SGX: "intel",
        Family.TDX: "intel",
        Family.SNP: "amd",
        Family.TPM: "tpm",
        Family.TXT: "tpm",
        Family.AZURE: "azure",
        Family.NITRO: "nitro",
        Family.PSA: "arm",
        Family.CCA: "arm",
        Family.KEYSTONE: "keystone",
        Family.NVIDIA: "nvidia",
    }
)
"""The package of each family; each is loaded when its first evidence comes."""


class Engine(StrEnum):
    """Who judges signatures and TCB level of SGX and TDX; the claims are the same."""

    OWN = "own"
    DCAP_QVL = "dcap-qvl"


class _Verifier(Protocol):
    def __call__(
        self, evidence: Evidence, *, anchors: Sequence[Digest], now: datetime
    ) -> Verified: ...


def _function(kind: str, family: Family) -> object:
    module = import_module(f"accord.evidence.{_MODULES[family]}")
    return getattr(module, f"{kind}_{family.value}")


def parse(evidence: Evidence) -> object:
    """``evidence`` taken apart into nested frozen dataclasses, to be shown: nothing is verified.

    Raises ``EvidenceMalformedError``.
    """
    parser = _function("parse", evidence.family)
    return parser(evidence)  # type: ignore[operator]


def verify_unbound(
    evidence: Evidence,
    *,
    anchors: Sequence[Digest],
    now: datetime,
    engine: Engine = Engine.OWN,
    report_data: bytes | None = None,
) -> Verified:
    """What ``evidence`` proves, and what it is bound to, which is *not* compared: see `verify`.

    Only good for looking at evidence: anybody may have asked for it, at any time. Parts are
    verified too, and that they were asked for together with the whole: with the report data
    that it signed, or, where its slot is too small to show them, with ``report_data``.
    Families that ``engine`` does not know are verified by our own.

    Raises the errors of family ATT.
    """
    # (0) Somebody must be trusted: an empty list would otherwise look like "no restriction".
    if not anchors:
        raise AnchorUnknownError(what="evidence", actual="any", expected="none at all")
    # (1) to (11) Everything that depends on the family.
    verifier = cast("_Verifier", _function("verify", evidence.family))
    if engine is Engine.DCAP_QVL and evidence.family in {Family.SGX, Family.TDX}:
        from accord.evidence.intel import verify_with_dcap_qvl

        verifier = verify_with_dcap_qvl
    trusted = anchors_for(evidence.family, anchors)
    claims, bound = verifier(evidence, anchors=trusted, now=now)
    if not evidence.parts:
        return Verified(claims, bound)
    asked = bound.get(REPORT_DATA, report_data)
    parts = _verify_parts(evidence, asked, anchors=anchors, now=now)
    return Verified(replace(claims, parts=MappingProxyType(parts)), bound)


def _verify_parts(
    evidence: Evidence, report_data: bytes | None, *, anchors: Sequence[Digest], now: datetime
) -> dict[str, Claims]:
    """The claims of every part; each was asked for with the report data of the whole."""
    parts: dict[str, Claims] = {}
    if report_data is None:
        raise PartMismatchError(part=min(evidence.parts), actual="unknown", expected="report data")
    for name, part in evidence.parts.items():
        claims, slots = verify_unbound(part, anchors=anchors, now=now)
        # A part that is bound to nothing could be anybody's, of any time.
        for slot, actual in slots.items() or [(name, b"")]:
            expected = link(slot, report_data)
            if not hmac.compare_digest(expected, actual):
                raise PartMismatchError(part=name, actual=actual.hex(), expected=expected.hex())
        if any(claims.instance_id == other.instance_id for other in parts.values()):
            raise EvidenceMalformedError(what=f"part {name}", detail="the same device twice")
        parts[name] = claims
    return parts


def verify(
    evidence: Evidence, *, anchors: Sequence[Digest], now: datetime, binding: Binding
) -> Claims:
    """What ``evidence`` proves about the environment that made it, at the moment ``now``.

    Trusts nothing but ``anchors`` (SHA-256 of root certificates, or of device keys where a
    family has no certificates) and is offline: ``now`` and the collateral are arguments.
    Whether the measurements are the right ones, whether the TCB status suffices, and whether
    a test root is acceptable is *not* decided here: `appraise` does. Whether the nonce was
    used before is its issuer's to check.

    Raises the errors of family ATT.
    """
    report_data = binding.report_data()
    claims, bound = verify_unbound(evidence, anchors=anchors, now=now, report_data=report_data)
    # (12) It was made for this purpose, role, nonce, key, connection and claims.
    if not bound:
        raise EvidenceMalformedError(what="evidence", detail="it is bound to nothing")
    for slot, actual in bound.items():
        expected = report_data if slot == REPORT_DATA else link(slot, report_data)
        if not hmac.compare_digest(expected, actual):
            raise BindingMismatchError(
                actual=actual.hex(),
                expected=expected.hex(),
                purpose=binding.purpose.value,
                role=binding.role.value,
            )
    return claims
