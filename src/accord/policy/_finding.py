# SPDX-License-Identifier: Apache-2.0
"""What lint found: a code that stays, a sentence, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from accord.encoding import JSONValue


class Severity(StrEnum):
    """How bad it is, worst first."""

    ERROR = "error"
    """The policy cannot do what it is for."""

    WARNING = "warning"
    """It can, and probably says more, or less, than was meant."""

    NOTE = "note"
    """Worth knowing; often as it should be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at before a policy is proposed."""

    code: str
    """Stable; docs/reference/policy.md lists them."""

    severity: Severity
    where: str
    """Path of the field, as errors write it."""

    sentence: str
    hint: str

    def to_json(self) -> JSONValue:
        return {
            "code": self.code,
            "severity": self.severity.value,
            "where": self.where,
            "sentence": self.sentence,
            "hint": self.hint,
        }


def error(code: str, where: str, sentence: str, hint: str) -> Finding:
    return Finding(code, Severity.ERROR, where, sentence, hint)


def warning(code: str, where: str, sentence: str, hint: str) -> Finding:
    return Finding(code, Severity.WARNING, where, sentence, hint)


def note(code: str, where: str, sentence: str, hint: str) -> Finding:
    return Finding(code, Severity.NOTE, where, sentence, hint)
