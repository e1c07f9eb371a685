# SPDX-License-Identifier: Apache-2.0
"""The semantic diff: what a new version would allow that the old did not, in sentences.

Digests are written in full: a shortened one could be imitated, and the change would not show.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from accord.encoding import Digest, JSONValue
from accord.policy._document import Policy, Service

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class Change:
    """One sentence that becomes true (``+``) or stops being true (``-``)."""

    sign: Literal["+", "-"]
    subject: str
    sentence: str

    def to_json(self) -> JSONValue:
        return {"sign": self.sign, "subject": self.subject, "sentence": self.sentence}


def facts(policy: Policy) -> Iterator[tuple[str, str]]:
    """Everything the policy says, as (subject, sentence); equal policies, equal facts."""
    yield "name", f"the policy is called {policy.name}"
    yield "purpose", f"the purpose is {policy.purpose}"
    for name, service in sorted(policy.services.items()):
        for subject, sentence in _service_facts(service):
            yield subject, f"service {name} {sentence}"


def _service_facts(service: Service) -> Iterator[tuple[str, str]]:
    yield "program", f"runs {shlex.join(map(_visible, service.command))}"
    yield "program", f"starts in {_path(service.workdir)} and ends within {service.timeout_s} s"
    for variable, value in sorted(service.environment.items()):
        yield "program", f"sees {variable}={shlex.quote(_visible(value))}"
    yield "network", f"reaches the network: {service.network.value}"
    for variant in service.attestation:
        kind = "SIMULATED " if variant.simulated else ""
        registers = ", ".join(
            f"{register} {' or '.join(value.hex() for value in values)}"
            for register, values in sorted(variant.measurements.items())
        )
        tcb = f"TCB {'/'.join(variant.tcb_statuses)}, at least {variant.min_tcb_evaluation_number}"
        yield "hardware", f"may run in {kind}{variant.family.value} with {registers} ({tcb})"
    for item in service.inputs:
        yield f"asset {item.asset}", f"reads {item.asset} at {_path(item.at)}, version {item.tag}"
    for output in service.outputs:
        readers = ", ".join(sorted(output.readers))
        place = f"{output.name} ({_path(output.at)})"
        yield f"output {output.name}", f"lets {readers} read its output {place}"


def diff(old: Policy | None, new: Policy) -> tuple[Change, ...]:
    """What changes from ``old`` (``None``: there was no policy) to ``new``; removals last.

    Empty only where the two differ in nothing but the version they replace.
    """
    before = set(facts(old)) if old is not None else set()
    after = set(facts(new))
    added = [Change("+", *fact) for fact in facts(new) if fact not in before]
    removed = [Change("-", *fact) for fact in sorted(before - after)]
    if old is not None and not added and not removed and _wording(old) != _wording(new):
        return (Change("+", "order", "says the same, in another order or more than once"),)
    return (*added, *removed)


def _wording(policy: Policy) -> Digest:
    return replace(policy, predecessor=None).digest


def _path(text: str) -> str:
    return shlex.quote(_visible(text))


def _visible(text: str) -> str:
    """``text`` in visible ASCII: a value draws no line, hides nothing and imitates no letter.

    Two texts never look the same: the backslash of an escape is none of the text's own.
    """
    return "".join(
        _ESCAPES.get(c) or (c if " " <= c <= "~" else f"\\u{{{ord(c):x}}}") for c in text
    )
