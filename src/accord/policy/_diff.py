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
from accord.policy._document import Policy
from accord.policy._service import Service
from accord.policy._terms import sentence, visible


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
        for subject, words in _service_facts(service):
            yield subject, f"service {name} {words}"


def _service_facts(service: Service) -> Iterator[tuple[str, str]]:
    yield "program", f"runs {shlex.join(map(visible, service.command))}"
    yield "program", f"starts in {_path(service.workdir)} and ends within {service.timeout_s} s"
    for variable, value in sorted(service.environment.items()):
        yield "program", f"sees {variable}={shlex.quote(visible(value))}"
    yield "network", f"reaches the network: {service.network.value}"
    for variant in service.attestation:
        yield "hardware", f"may run in {sentence(variant)}"
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
    return shlex.quote(visible(text))
