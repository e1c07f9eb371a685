# SPDX-License-Identifier: Apache-2.0
"""The run statement: in-toto Statement v1, signed by the shield's attested key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from accord.encoding import Digest, Fields, JSONValue, base64_encode, format_time
from accord.errors import MalformedError
from accord.policy import Assurance, parse_asset_name
from accord.release._documents import parse_run_id
from accord.release._records import Release

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:accord:predicate:run:v1"


class RunOutcome(StrEnum):
    """How a run ended. An exit code is not recorded: a program could spell data with it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunOutput:
    """One output volume, and its key sealed to each member who may read it."""

    name: str
    volume_id: str
    tag: Digest
    key_commitment: Digest
    sealed_keys: tuple[tuple[str, bytes], ...]
    """Pairs of reader and HPKE message, sorted by reader."""

    @classmethod
    def from_fields(cls, fields: Fields) -> RunOutput:
        sealed = fields.object("sealed_keys")
        output = cls(
            fields.name("name"),
            fields.name("volume_id"),
            fields.digest("tag"),
            fields.digest("key_commitment"),
            tuple((name, sealed.data(name, limit=1024)) for name in sorted(sealed.names())),
        )
        fields.end()
        return output

    def to_json(self) -> JSONValue:
        return {
            "name": self.name,
            "volume_id": self.volume_id,
            "tag": self.tag,
            "key_commitment": self.key_commitment,
            "sealed_keys": {name: base64_encode(data) for name, data in self.sealed_keys},
        }


@dataclass(frozen=True, slots=True)
class RunStatement:
    """What went in, what ran, and what came out, by digest."""

    board: Digest
    run: str
    policy_digest: Digest
    service: str
    assurance: Assurance
    inputs: tuple[tuple[str, Digest], ...]
    """Pairs of asset and tag, in the order of the policy."""

    outputs: tuple[RunOutput, ...]
    outcome: RunOutcome
    started: datetime
    finished: datetime

    @classmethod
    def from_fields(cls, fields: Fields) -> RunStatement:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(STATEMENT_TYPE, name="_type")
        fields.schema(PREDICATE_TYPE, name="predicateType")
        subject = fields.take("subject")
        predicate = fields.object("predicate")
        statement = cls(
            board=predicate.digest("board"),
            run=parse_run_id(predicate.take("run"), what=predicate.path("run")),
            policy_digest=predicate.digest("policy_digest"),
            service=predicate.name("service"),
            assurance=predicate.choice("assurance", Assurance),
            inputs=tuple(map(_read_input, predicate.objects("inputs"))),
            outputs=tuple(map(RunOutput.from_fields, predicate.objects("outputs"))),
            outcome=predicate.choice("outcome", RunOutcome),
            started=predicate.time("started"),
            finished=predicate.time("finished"),
        )
        predicate.end()
        fields.end()
        if subject != statement._subject():
            raise MalformedError(what=fields.path("subject"), detail="does not name the outputs")
        return statement

    def _subject(self) -> JSONValue:
        return [
            {"name": output.name, "digest": {"sha256": output.tag.removeprefix("sha256:")}}
            for output in self.outputs
        ]

    def to_json(self) -> JSONValue:
        return {
            "_type": STATEMENT_TYPE,
            "subject": self._subject(),
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "board": self.board,
                "run": self.run,
                "policy_digest": self.policy_digest,
                "service": self.service,
                "assurance": self.assurance.value,
                "inputs": [{"asset": asset, "tag": tag} for asset, tag in self.inputs],
                "outputs": [output.to_json() for output in self.outputs],
                "outcome": self.outcome.value,
                "started": format_time(self.started),
                "finished": format_time(self.finished),
            },
        }


@dataclass(slots=True)
class RunRecord:
    """A release, where it stands in the log, and the run statement once there is one."""

    release: Release
    """Without the attestation result, which stays in the log: a state holds 100,000 runs."""

    index: int
    statement: RunStatement | None = None
    lease_until: datetime | None = None

    @classmethod
    def from_fields(cls, fields: Fields) -> RunRecord:
        """Reads and ends ``fields``, as `to_json` wrote them."""
        record = cls(
            Release.from_fields(fields.object("release")),
            fields.integer("index", minimum=1),
            RunStatement.from_fields(fields.object("statement"))
            if fields.has("statement")
            else None,
            fields.optional("lease_until", fields.time),
        )
        fields.end()
        return record

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {"release": self.release.to_json(), "index": self.index}
        if self.statement is not None:
            document["statement"] = self.statement.to_json()
        if self.lease_until is not None:
            document["lease_until"] = format_time(self.lease_until)
        return document


def _read_input(fields: Fields) -> tuple[str, Digest]:
    read = (
        parse_asset_name(fields.take("asset"), what=fields.path("asset")),
        fields.digest("tag"),
    )
    fields.end()
    return read
