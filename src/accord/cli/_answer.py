# SPDX-License-Identifier: Apache-2.0
"""How a verdict is shown: facts, warnings, what nobody checked, the document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from accord.cli._output import Output
from accord.cli._verification import Answer, Question
from accord.encoding import JSONValue, format_time
from accord.evidence import PRODUCTION_ROOTS, Claims, RootKind
from accord.policy import Family


def warnings(question: Question, answer: Answer) -> Iterator[str]:
    """What the verdict does not mean, to be said aloud."""
    if answer.claims.root_kind is not RootKind.PRODUCTION:
        yield "TEST ROOT: whoever holds its key can forge this; it proves no hardware"
    if answer.claims.debug:
        yield "DEBUG: the host can read and change what runs there"
    if not answer.compared:
        yield (
            "BINDING NOT CHECKED: anybody may have asked for this evidence, at any time; "
            "give --report-data or --nonce"
        )
    yield from stored_warnings(question)


def collateral_warnings(question: Question) -> Iterator[str]:
    """Where what becomes outdated came from."""
    found = question.endorsed
    if found.repeated:
        yield "COLLATERAL OF THE STORED VERDICT: what it used, whatever was known elsewhere"
    if found.unconfirmed:
        keys = ", ".join(dict.fromkeys(found.unconfirmed))
        yield (
            f"COLLATERAL BROUGHT BY THE EVIDENCE ITSELF: {keys}; it may hold back newer, which "
            "`accord collateral fetch` brings"
        )
    if found.replaced:
        keys = ", ".join(dict.fromkeys(found.replaced))
        yield f"the cache has newer collateral than the evidence brought, which counts: {keys}"


def stored_warnings(question: Question) -> Iterator[str]:
    """Where collateral is from, and how this verdict differs from the one that was stored."""
    yield from collateral_warnings(question)
    verdict = question.stored.verdict
    if verdict is None:
        return
    if verdict.now != question.now:
        now = format_time(question.now)
        yield f"stored as a verdict of {format_time(verdict.now)}, verified as of {now}"
    if verdict.report_data is not None and question.asked != verdict.report_data:
        given = "not compared" if question.asked is None else "which is not what was given now"
        told = verdict.report_data.hex()
        yield f"bound to report data {told}, as the stored verdict says: {given}"
    if verdict.policy is not None and verdict.policy != question.policy:
        yield f"stored as admitted by policy {verdict.policy}, which is not the one given now"
    if set(verdict.anchors) != set(question.anchors):
        yield "stored under other trust anchors; those of this command count"


def not_checked(answer: Answer) -> Iterator[str]:
    """What nobody looked at."""
    if not answer.compared:
        yield "that it was made for you, and now: neither report data nor nonce was given"
    if answer.result is None:
        yield "that it is the right code on an acceptable platform: no policy was given"
    yield "that the nonce was used only once: whoever chose it counts"
    if answer.claims.parts:
        yield "that the parts sit in the same machine: only that both were asked together"


def facts(out: Output, question: Question, answer: Answer) -> None:
    """One line for each thing that holds."""
    claims = answer.claims
    name = PRODUCTION_ROOTS.get(claims.root, "named on the command line")
    out.fact(f"signed under root {claims.root} ({name})")
    until = (
        "for ever" if claims.collateral_expires is None else format_time(claims.collateral_expires)
    )
    out.fact(f"valid at {format_time(question.now)}, until {until}")
    if answer.compared:
        out.fact(f"bound to the {answer.compared} given")
    for part, found in claims.parts.items():
        out.fact(f"part {part}: {found.family.value}, asked for together with the whole")
    if answer.result is not None:
        out.fact(f"admitted by variant {answer.result.variant}: {answer.result.status}")


def document(question: Question, answer: Answer) -> dict[str, JSONValue]:
    """The answer for programs."""
    return {
        "schema": "accord.attestation.v1",
        "now": format_time(question.now),
        **claims_document(answer.claims),
        "bound": {slot: value.hex() for slot, value in answer.bound.items()},
        "binding": answer.compared or "not checked",
        **gpu_binding(answer.claims),
        "collateral": {
            "brought": list(question.endorsed.unconfirmed),
            "replaced": list(question.endorsed.replaced),
            "repeated": question.endorsed.repeated,
        },
        "appraisal": None if answer.result is None else answer.result.to_json(),
        "not_checked": list(not_checked(answer)),
    }


def gpu_binding(claims: Claims) -> dict[str, JSONValue]:
    """All that joins a GPU to the machine: both were asked together."""
    linked = any(part.family is Family.NVIDIA for part in claims.parts.values())
    return {"gpu_binding": "nonce_linked"} if linked else {}


def claims_document(claims: Claims) -> dict[str, JSONValue]:
    """Every claim; bytes as hex."""
    return {
        "family": claims.family.value,
        "root": claims.root,
        "root_kind": claims.root_kind.value,
        "assurance": claims.assurance.value,
        "debug": claims.debug,
        "tcb": None
        if claims.tcb is None
        else {
            "status": claims.tcb.status,
            "advisories": list(claims.tcb.advisories),
            "evaluation_number": claims.tcb.evaluation_number,
        },
        "instance_id": claims.instance_id.hex(),
        "collateral_expires": None
        if claims.collateral_expires is None
        else format_time(claims.collateral_expires),
        "measurements": {name: value.hex() for name, value in claims.measurements.items()},
        "attributes": dict(claims.attributes),
        "components": [
            {
                "kind": item.kind,
                "name": item.name,
                "digest": item.digest.hex(),
                "version": item.version,
                "signer": item.signer.hex(),
            }
            for item in claims.components
        ],
        "chain": [
            {
                "what": link_.what,
                "digest": link_.digest,
                "not_before": _moment(link_.not_before),
                "not_after": _moment(link_.not_after),
            }
            for link_ in claims.chain
        ],
        "parts": {name: claims_document(part) for name, part in claims.parts.items()},
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else format_time(at)


def lines(answer: Answer) -> Iterator[str]:
    """The answer for people."""
    claims = answer.claims
    yield f"family      {claims.family.value}"
    yield f"root        {claims.root} ({claims.root_kind.value.upper()})"
    yield f"assurance   {claims.assurance.value.upper()}"
    if claims.tcb is not None:
        advisories = f" ({', '.join(claims.tcb.advisories)})" if claims.tcb.advisories else ""
        yield f"TCB         {claims.tcb.status}{advisories}"
    yield f"instance    {claims.instance_id.hex()}"
    for slot, value in answer.bound.items():
        checked = "compared" if answer.compared else "NOT compared"
        yield f"bound to    {slot} {value.hex()} ({checked})"
    width = max(map(len, claims.measurements), default=0)
    for name, value in claims.measurements.items():
        yield f"{name.ljust(max(width, 11))} {value.hex()}"
