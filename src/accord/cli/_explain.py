# SPDX-License-Identifier: Apache-2.0
"""Evidence taken apart for a reader: fields, chain, steps, claims, and what nobody checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from enum import Enum

from accord.cli._answer import claims_document, not_checked, stored_warnings, warnings
from accord.cli._output import error_document
from accord.cli._steps import Step, failed_step, steps_of
from accord.cli._tree import Node, draw, nodes_of, shown
from accord.cli._verification import Answer, Question, verified
from accord.collateral import recognise
from accord.encoding import JSONValue, format_time, sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    AppraisalError,
    BindingMismatchError,
    ExitCode,
    PartMismatchError,
)
from accord.evidence import Certificate, Endorser, Evidence, appraise, parse

_PASSED, _FAILED, _UNKNOWN = "✓", "✗", "?"


@dataclass(frozen=True, slots=True)
class Explained:
    """Everything that can be said of evidence, whether it verifies or not."""

    question: Question
    answer: Answer | None
    error: AccordError | None
    failed_at: int | None
    steps: tuple[Step, ...]
    parsed: object
    parse_error: AccordError | None

    @property
    def exit_code(self) -> int | None:
        if self.error is None:
            return None
        refused = isinstance(self.error, AppraisalError)
        return ExitCode.FAILURE if refused else ExitCode.NOT_VERIFIED

    @property
    def verdict(self) -> str:
        if self.error is None:
            return "VERIFIED" if self.question.variants == () else "VERIFIED, ADMITTED"
        if isinstance(self.error, AppraisalError):
            return "VERIFIED, BUT REFUSED BY THE POLICY"
        return "NOT VERIFIED"

    @property
    def warnings(self) -> Iterator[str]:
        if self.answer is None:
            return stored_warnings(self.question)
        return warnings(self.question, self.answer)

    def steps_with_verdicts(self) -> Iterator[tuple[str, str]]:
        """Each step with its mark; those behind a failure were never reached."""
        for step in self.steps:
            yield self._mark(step.number), step.label
        outside = self.error is not None and self.failed_at is None
        if self.question.evidence.parts:
            wrong = isinstance(self.error, PartMismatchError)
            mark = _FAILED if wrong else _PASSED if self.answer else _UNKNOWN
            yield mark, "parts were asked for together with the whole"
        if self.answer is not None and self.answer.compared:
            yield _PASSED, f"bound to the {self.answer.compared} given"
        elif isinstance(self.error, BindingMismatchError):
            yield _FAILED, f"bound to what was given: {self.error}"
        elif self.question.report_data is None and self.question.nonce is None:
            yield _UNKNOWN, "bound to what the verifier asked for: nothing was given to compare"
        else:
            yield _UNKNOWN, "bound to what was given"
        if isinstance(self.error, AppraisalError):
            yield _FAILED, f"admitted by the policy: {self.error}"
        elif self.question.variants:
            yield _PASSED if self.answer else _UNKNOWN, "admitted by the policy"
        if outside and not isinstance(self.error, AppraisalError | BindingMismatchError):
            yield _FAILED, str(self.error)

    def _mark(self, number: int) -> str:
        if self.error is None or isinstance(self.error, AppraisalError | BindingMismatchError):
            return _PASSED
        if self.failed_at is None:
            return _UNKNOWN
        if number == self.failed_at:
            return _FAILED
        return _PASSED if number < self.failed_at else _UNKNOWN

    def tree(self, *, full: bool) -> Iterator[str]:
        """The lines of the tree."""
        evidence = self.question.evidence
        words = f"{evidence.family.value} evidence, {len(evidence.blob)} bytes: {self.verdict}"
        return draw((words, list(self._branches(full=full))))

    def _branches(self, *, full: bool) -> Iterator[Node]:
        if self.error is not None:
            yield f"{self.error.code} {self.error}", ()
        yield "steps", [(f"{mark} {words}", ()) for mark, words in self.steps_with_verdicts()]
        title = "chain, root last" if self.answer else "certificates at hand, which prove nothing"
        yield title, [_endorser_node(item) for item in self._chain()]
        if self.parse_error is None:
            yield "fields, as the bytes say them", nodes_of(self.parsed, full=full)
        else:
            yield f"fields: unreadable ({self.parse_error})", ()
        yield from _attachments(self.question.evidence)
        if self.answer is not None:
            claims = replace(self.answer.claims, chain=())
            yield "claims, proved", nodes_of(claims, full=full)
            bound = [(f"{slot}: {shown(value, full=full)}", ()) for slot, value in self._bound()]
            yield "signed on behalf of the environment", bound
            yield "not checked", [(point, ()) for point in not_checked(self.answer)]

    def _bound(self) -> Iterable[tuple[str, bytes]]:
        return () if self.answer is None else self.answer.bound.items()

    def _chain(self) -> tuple[Endorser, ...]:
        """What the claims say, or else every certificate at hand, which then proves nothing."""
        if self.answer is not None and self.answer.claims.chain:
            return self.answer.claims.chain
        found = {c.digest: c for c in _certificates(self.question.evidence, self.parsed)}
        return tuple(Endorser(c.what, c.digest, c.not_before, c.not_after) for c in found.values())

    def document(self) -> JSONValue:
        """The same for programs."""
        words = {_PASSED: "passed", _FAILED: "failed", _UNKNOWN: "not reached"}
        answer = self.answer
        return {
            "schema": "accord.explanation.v1",
            "verdict": self.verdict.lower(),
            "error": None if self.error is None else error_document(self.error),
            "now": format_time(self.question.now),
            "steps": [
                {"verdict": words[mark], "step": step} for mark, step in self.steps_with_verdicts()
            ],
            "chain": [_json(item) for item in self._chain()],
            "fields": _json(self.parsed),
            "claims": None if answer is None else claims_document(answer.claims),
            "bound": {slot: value.hex() for slot, value in self._bound()},
            "not_checked": [] if answer is None else list(not_checked(answer)),
        }


def explain_question(question: Question) -> Explained:
    """Verifies, appraises and takes apart; a refusal is part of the answer."""
    answer: Answer | None = None
    error: AccordError | None = None
    steps, failed_at = steps_of(question.evidence.family), None
    try:
        answer = verified(question)
        if question.variants:
            result = appraise(answer.claims, question.variants, now=question.now)
            answer = replace(answer, result=result)
    except AccordError as exc:
        error = exc
        if not isinstance(exc, BindingMismatchError):
            failed_at = failed_step(steps, exc.__traceback__)
        if isinstance(exc, AnchorUnknownError) and failed_at is None:
            failed_at = next((step.number for step in steps), None)
    parsed: object = None
    parse_error: AccordError | None = None
    try:
        parsed = parse(question.evidence)
    except AccordError as exc:
        parse_error = exc
    return Explained(question, answer, error, failed_at, steps, parsed, parse_error)


def _endorser_node(item: Endorser) -> Node:
    period = "never expires"
    if item.not_before is not None and item.not_after is not None:
        period = f"{format_time(item.not_before)} to {format_time(item.not_after)}"
    return item.what, [(item.digest, ()), (period, ())]


def _attachments(evidence: Evidence) -> Iterator[Node]:
    attached = {"endorsements": evidence.endorsements, "attachments": evidence.aux}
    for title, named in attached.items():
        if named:
            yield (
                title,
                [
                    (f"{name}: {len(data)} bytes, {sha256(data)}", ())
                    for name, data in named.items()
                ],
            )
    if evidence.parts:
        yield (
            "parts",
            [
                (f"{name}: {part.family.value}, {len(part.blob)} bytes", ())
                for name, part in evidence.parts.items()
            ],
        )


def _certificates(evidence: Evidence, parsed: object) -> Iterator[Certificate]:
    for name, data in (*evidence.endorsements.items(), *_pem_fields(parsed)):
        try:
            items = recognise(data, what=name)
        except AccordError:
            continue
        for item in items:
            yield from item.certificates


def _pem_fields(parsed: object) -> Iterator[tuple[str, bytes]]:
    if not is_dataclass(parsed):
        return
    for item in fields(parsed):
        value = getattr(parsed, item.name)
        if isinstance(value, bytes) and b"-----BEGIN CERT" in value:
            yield item.name, value[value.index(b"-----BEGIN CERT") :]


def _json(value: object) -> JSONValue:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _json(getattr(value, item.name)) for item in fields(value)}
    match value:
        case bytes():
            found: JSONValue = value.hex()
        case datetime():
            found = format_time(value)
        case Enum():
            found = value.value
        case Mapping():
            found = {str(key): _json(item) for key, item in value.items()}
        case None | bool() | int() | str():
            found = value
        case Iterable():
            found = [_json(item) for item in value]
        case _:
            found = str(value)
    return found
