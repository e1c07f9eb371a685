# SPDX-License-Identifier: Apache-2.0
"""The whole state of one board as a fold over its log.

`Machine.apply` is what the trust service runs on each new entry, what it runs on all of them
when it starts, and what an auditor runs offline. It has no clock, network or randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from accord.board import BoardState, verify_genesis
from accord.encoding import Digest, Envelope, Fields, parse_canonical_json
from accord.errors import (
    DuplicateStatementError,
    GenesisError,
    LogKeyError,
    ReleaseInvalidError,
    UnknownRunError,
    WrongBoardError,
)
from accord.identity import Keyset, Statement, VerifyKey, statement_kind, verify_statement
from accord.ledger import Entry, Ledger
from accord.policy import Policy
from accord.release._consent import enacted_service, owners_consent
from accord.release._documents import Release, ServiceStart
from accord.release._run import RunStatement


@dataclass(slots=True)
class RunRecord:
    """A release, where it stands in the log, and the run statement once there is one."""

    release: Release
    index: int
    statement: RunStatement | None = None


@dataclass(slots=True)
class Machine:
    """Board, releases and runs after the entries applied so far."""

    board: BoardState
    log_key: VerifyKey | None = None
    started: list[tuple[ServiceStart, int]] = field(default_factory=list)
    """Every start of the trust service, with the index of its entry."""

    uses: dict[Digest, int] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    nonces: set[bytes] = field(default_factory=set)

    @classmethod
    def found(cls, entry: Entry) -> Machine:
        """The state after the genesis, which must be entry 0.

        Raises ``GenesisError`` or what reading it raises.
        """
        if entry.index != 0:
            raise GenesisError(detail=f"it is entry {entry.index} of the log, not entry 0")
        machine = cls(BoardState.found(verify_genesis(entry.envelope)))
        machine.board.recorded[entry.envelope.statement_digest] = 0
        return machine

    @classmethod
    def replay(cls, entries: Iterable[bytes]) -> tuple[Ledger, Machine]:
        """The log of ``entries`` and the state it leads to; each entry is read once.

        Whether the log is the latest, or the only one, is *not* known here.
        Raises what `Ledger.extend`, `found` and `apply` raise.
        """
        ledger, machine = Ledger(), None
        for data in entries:
            entry = ledger.extend(data)
            if machine is None:
                machine = cls.found(entry)
            else:
                machine.apply(entry)
        if machine is None:
            raise GenesisError(detail="the log is empty")
        return ledger, machine

    def apply(self, entry: Entry) -> Statement:
        """Takes the next entry into the state, or raises and changes nothing.

        The order of entries is the ledger's business. Evidence is *not* verified here: the
        entry names it by digest, and whoever holds it verifies it. Returns the statement.
        """
        return self.apply_envelope(entry.envelope, index=entry.index, time=entry.time)

    def apply_envelope(self, envelope: Envelope, *, index: int, time: datetime) -> Statement:
        """`apply` for an entry that is not written yet."""
        kind = statement_kind(envelope)
        if envelope.statement_digest in self.board.recorded:
            raise DuplicateStatementError(
                what=kind, index=self.board.recorded[envelope.statement_digest]
            )
        own = _OWN.get(kind)
        if own is not None:
            statement = own(self, envelope, index, time)
        else:
            keys = self.board.genesis.keys
            if kind == "enactment":
                keys = self._service_keys(index)
            statement = verify_statement(envelope, kind, keys)
            self.board.apply(statement, index=index, time=time)
        self.board.recorded[statement.digest] = index
        return statement

    @property
    def keyset(self) -> Keyset | None:
        """The keys of the trust service since its latest start."""
        return self.started[-1][0].keyset if self.started else None

    def policy_of(self, release: Release) -> Policy:
        """The policy of a recorded release; a later version may be in force by now."""
        versions = self.board.policies[release.policy]
        return next(item for item in versions if item.digest == release.policy_digest)

    def _service_keys(self, index: int) -> dict[Digest, VerifyKey]:
        if self.log_key is None:
            raise LogKeyError(index=index)
        return {self.log_key.key_id: self.log_key}

    def _must_be_here(self, board: Digest) -> None:
        if board != self.board.board:
            raise WrongBoardError(found=board, expected=self.board.board)

    def _start(self, envelope: Envelope, index: int, _time: datetime) -> Statement:
        # The first start names the log key; every later one must be signed by it.
        claimed = ServiceStart.from_fields(_peek(envelope, "service-start"))
        key = self.log_key or claimed.keyset.verify_key
        statement = verify_statement(envelope, "service-start", {key.key_id: key})
        start = ServiceStart.from_fields(statement.fields())
        self._must_be_here(start.board)
        if start.keyset.verify_key != key:
            raise LogKeyError(index=index)
        self.log_key = key
        self.started.append((start, index))
        return statement

    def _release(self, envelope: Envelope, index: int, time: datetime) -> Statement:
        statement = verify_statement(envelope, "release", self._service_keys(index))
        release = Release.from_fields(statement.fields())
        self._must_be_here(release.board)
        policy, service = enacted_service(self.board, release.policy, release.service, time)
        uses = owners_consent(
            self.board,
            self.uses,
            policy=policy,
            service=service,
            assurance=release.assurance,
            now=time,
        )
        consistent = (
            release.uses == uses
            and release.policy_digest == policy.digest
            and release.run not in self.runs
            and release.nonce not in self.nonces
        )
        if not consistent:
            raise ReleaseInvalidError(index=index)
        for use in uses:
            self.uses[use.offer] = use.number
        self.nonces.add(release.nonce)
        self.runs[release.run] = RunRecord(release, index)
        return statement

    def _run(self, envelope: Envelope, _index: int, _time: datetime) -> Statement:
        claimed = RunStatement.from_fields(_peek(envelope, "run"))
        record = self.runs.get(claimed.run)
        if record is None or record.statement is not None:
            raise UnknownRunError(run=claimed.run)
        release, key = record.release, record.release.keyset.verify_key
        statement = verify_statement(envelope, "run", {key.key_id: key})
        run = RunStatement.from_fields(statement.fields())
        self._must_be_here(run.board)
        service = self.policy_of(release).services[release.service]
        readers = {output.name: sorted(output.readers) for output in service.outputs}
        consistent = (
            run.policy_digest == release.policy_digest
            and run.service == release.service
            and run.assurance is release.assurance
            and run.inputs == tuple((item.asset, item.tag) for item in service.inputs)
            and len({output.name for output in run.outputs}) == len(run.outputs)
            and all(
                readers.get(output.name) == [name for name, _ in output.sealed_keys]
                for output in run.outputs
            )
        )
        if not consistent:
            raise UnknownRunError(run=claimed.run)
        record.statement = run
        return statement


def _peek(envelope: Envelope, kind: str) -> Fields:
    """The payload before its signature is verified: only to learn whose signature to ask for."""
    return Fields(parse_canonical_json(envelope.payload, what=kind), kind)


_OWN: dict[str, Callable[[Machine, Envelope, int, datetime], Statement]] = {
    "service-start": Machine._start,  # noqa: SLF001 - the table belongs to the class
    "release": Machine._release,  # noqa: SLF001
    "run": Machine._run,  # noqa: SLF001
}
