# SPDX-License-Identifier: Apache-2.0
"""A verdict with everything it rests on, so that anybody can repeat it years later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from accord.encoding import (
    Digest,
    Fields,
    JSONValue,
    canonical_json,
    format_time,
    parse_canonical_json,
    parse_digest,
)
from accord.evidence import Evidence

MAX_VERDICT_BYTES = 64 << 20
"""Twice the largest evidence: the rest is small."""

_REPORT_DATA_BYTES = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """That ``evidence`` verified at ``now`` under ``anchors``, and what came of it.

    Unsigned, and believed by nobody: whoever reads it verifies the evidence again, with
    anchors of their own. ``report_data`` is what the evidence was compared with, None where
    nothing was. ``policy`` is the digest of the variants that admitted it.
    """

    SCHEMA: ClassVar[str] = "accord.verdict.v1"

    evidence: Evidence
    anchors: tuple[Digest, ...]
    now: datetime
    report_data: bytes | None
    policy: Digest | None
    result: JSONValue

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        written: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "evidence": self.evidence.to_json(),
            "anchors": list(self.anchors),
            "now": format_time(self.now),
            "result": self.result,
        }
        if self.report_data is not None:
            written["report_data"] = self.report_data.hex()
        if self.policy is not None:
            written["policy"] = self.policy
        return canonical_json(written)

    @classmethod
    def from_bytes(cls, data: bytes) -> Verdict:
        """Reads a verdict; nothing is verified. Raises ``EncodingError``."""
        fields = Fields(
            parse_canonical_json(data, what="verdict", limit=MAX_VERDICT_BYTES), "verdict"
        )
        fields.schema(cls.SCHEMA)
        verdict = cls(
            evidence=Evidence.from_fields(fields.object("evidence")),
            anchors=tuple(parse_digest(v, what=where) for where, v in fields.items("anchors")),
            now=fields.time("now"),
            report_data=fields.hex("report_data", size=_REPORT_DATA_BYTES)
            if fields.has("report_data")
            else None,
            policy=fields.optional("policy", fields.digest),
            result=fields.take("result"),
        )
        fields.end()
        return verdict
