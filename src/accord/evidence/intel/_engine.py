# SPDX-License-Identifier: Apache-2.0
"""dcap-qvl, an independent library, as a faster engine (docs/spec/evidence/intel.md, 8)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from types import MappingProxyType
from typing import Any

from accord.encoding import Digest
from accord.errors import EngineMissingError, EngineRefusedError
from accord.evidence._chain import endorsers
from accord.evidence._claims import TCB, Endorser, Verified
from accord.evidence._evidence import Evidence, refuse_unknown
from accord.evidence.intel import _sgx, _tdx
from accord.evidence.intel._claims import Verdict
from accord.evidence.intel._collateral import Collateral
from accord.evidence.intel._endorsements import carries_chain, find_chains, pck_chain
from accord.evidence.intel._import import list_der, to_pem
from accord.evidence.intel._pck import SGX_TYPES, PCKExtension
from accord.evidence.intel._quote import Quote
from accord.policy import Family

_ENGINE = "dcap-qvl"
_FLAGS = MappingProxyType({"True": True, "False": False, "Undefined": None})


def verify_with_dcap_qvl(
    evidence: Evidence, *, anchors: Sequence[Digest], now: datetime
) -> Verified:
    """What `verify_sgx` and `verify_tdx` return, with the verdict of dcap-qvl.

    It verifies revocation, signatures, periods and TCB level. Parsing, chains, TD and enclave
    attributes and event logs are ours, and so are all refusals: where it refuses, our own
    verifier says why. It always refuses some TDs that ours leaves to policy (#VE not
    disabled, migratable, bound to a service TD).

    Raises the errors of family ATT; ``EngineMissingError`` where it is not installed, and
    ``EngineRefusedError`` where it refuses what we accept.
    """
    try:
        library = import_module("dcap_qvl")
    except ImportError as exc:
        raise EngineMissingError(engine=_ENGINE) from exc
    if evidence.family is Family.SGX:
        quote, report = _sgx.sgx_quote(evidence)
        refuse_unknown("attachments", evidence.aux)
        _sgx.check_attributes(report)
        return _sgx.sgx_claims(report, _judge(library, evidence, quote, anchors, now))
    quote, td_report = _tdx.tdx_quote(evidence)
    refuse_unknown("attachments", evidence.aux, _tdx.ATTACHMENTS)
    _tdx.check_attributes(td_report)
    verdict = _judge(library, evidence, quote, anchors, now)
    return _tdx.tdx_claims(evidence, quote, td_report, verdict)


def _judge(
    library: Any, evidence: Evidence, quote: Quote, anchors: Sequence[Digest], now: datetime
) -> Verdict:
    collateral = Collateral.from_endorsements(evidence.endorsements)
    if carries_chain(quote):  # the library would prefer the one beside it
        collateral = replace(collateral, pck_certificate_chain=None)
    # (2) The library verifies chains up to the root, but not which role their leaves have: a
    # platform's own key could sign its TCB info. It is shown the chains found here, no others.
    chains = find_chains(pck_chain(quote, collateral), collateral, anchors)
    collateral = replace(
        collateral,
        tcb_info_issuer_chain=to_pem(chains.tcb),
        qe_identity_issuer_chain=to_pem(chains.qe),
    )
    root = chains.pck[-1].der
    try:
        found = _run(library, evidence.blob, collateral, root, int(now.timestamp()))
    except ValueError as exc:
        own = _sgx.verify_sgx if evidence.family is Family.SGX else _tdx.verify_tdx
        own(evidence, anchors=anchors, now=now)
        raise EngineRefusedError(engine=_ENGINE, detail=str(exc)) from exc
    return _verdict(found, endorsers(chains.pck))


def _run(library: Any, blob: bytes, collateral: Collateral, root: bytes, at: int) -> Any:
    """What dcap-qvl claims, in its own words. Raises ``ValueError``."""
    lists = (list_der(collateral.root_ca_crl), list_der(collateral.pck_crl))
    if collateral.pck_certificate_chain is None:
        theirs = library.QuoteCollateralV3(
            collateral.pck_crl_issuer_chain,
            *lists,
            collateral.tcb_info_issuer_chain,
            collateral.tcb_info,
            collateral.tcb_info_signature,
            collateral.qe_identity_issuer_chain,
            collateral.qe_identity,
            collateral.qe_identity_signature,
        )
    else:
        written = {**collateral.to_json(), "root_ca_crl": lists[0].hex(), "pck_crl": lists[1].hex()}
        theirs = library.QuoteCollateralV3.from_json(json.dumps(written))
    policy = library.QuotePolicy.claims_only(at)
    verifier = library.QuoteVerifier(root)
    return json.loads(verifier.verify_with_policy(blob, theirs, at, policy).to_json())


def _verdict(found: Any, chain: tuple[Endorser, ...]) -> Verdict:
    pck = found["platform"]["pck"]
    instance = pck["platform_instance_id"]
    platform = PCKExtension(
        ppid=bytes(pck["ppid"]),
        svns=tuple(pck["cpu_svn"]),
        pcesvn=pck["pce_svn"],
        pceid=bytes(pck["pce_id"]),
        fmspc=bytes(pck["fmspc"]),
        sgx_type=SGX_TYPES[pck["sgx_type"]],
        platform_instance_id=None if instance is None else bytes(instance),
        dynamic_platform=_FLAGS[pck["dynamic_platform"]],
        cached_keys=_FLAGS[pck["cached_keys"]],
        smt_enabled=_FLAGS[pck["smt_enabled"]],
    )
    tcb = TCB(
        status=found["tcb"]["status"],
        advisories=tuple(found["tcb"]["advisory_ids"]),
        evaluation_number=min(
            found["tcb"]["eval_data_number"], found["qe"]["tcb_eval_data_number"]
        ),
    )
    expires = datetime.fromtimestamp(found["earliest_expiration_date"], UTC)
    return Verdict(chain, platform, tcb, expires)
