# SPDX-License-Identifier: Apache-2.0
"""The whole state of one board as a fold over its log.

`Machine.apply` is what the trust service runs on each new entry, what it runs on all of them
when it starts, and what an auditor runs offline. It has no clock, network or randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSet
from dataclasses import dataclass, field, replace
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
from accord.policy import Policy, owner_of
from accord.release._check import check_release, check_renewal, check_run
from accord.release._documents import ServiceStart
from accord.release._exchange import SecretExport, shared_policy
from accord.release._handover import Handover, check_handover
from accord.release._records import Release, Renewal
from accord.release._references import password_source
from accord.release._reservations import Reserved, UseReservation, reserve, reserved_for
from accord.release._resource import ResourceRelease, agreed_resource
from accord.release._root_shares import (
    Recovery,
    RootShares,
    check_recovery,
    check_root_shares,
)
from accord.release._run import RunRecord, RunStatement
from accord.release._runs import Runs
from accord.release._tags import TagCommit, committed, held_owners, opened

_BY_SERVICE = frozenset(
    {
        "enactment",
        "export",
        "handover",
        "release",
        "renewal",
        "resource-release",
        "root-shares",
        "use-reservation",
    }
)
"""Statements that the trust service signs with the log key."""


@dataclass(slots=True)
class Machine:
    """Board, releases and runs after the entries applied so far."""

    board: BoardState
    log_key: VerifyKey | None = None
    started: list[tuple[ServiceStart, int]] = field(default_factory=list)
    """Every start of the trust service, with the index of its entry."""

    uses: dict[Digest, int] = field(default_factory=dict)
    runs: MutableMapping[str, RunRecord] = field(default_factory=Runs)
    nonces: MutableSet[bytes] = field(default_factory=set)
    totp_steps: dict[str, int] = field(default_factory=dict)
    """By where the secret comes from, the latest time step whose one-time password was used."""

    root_shares: RootShares | None = None
    """Of the root secret in force, as soon as the trust service has split it."""

    former_keys: list[VerifyKey] = field(default_factory=list)
    """Log keys before this one: each recovery, and each hand-over, begins with a new one."""

    handover: Handover | None = None
    """The latest one: what the log's key before it said last."""

    reservations: dict[tuple[str, str], Reserved] = field(default_factory=dict)
    """By policy and service, what the current start of the trust service has reserved."""

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
    def replay(
        cls,
        entries: Iterable[bytes],
        *,
        each: Callable[[Machine, Entry, Statement], None] | None = None,
    ) -> tuple[Ledger, Machine]:
        """The log of ``entries`` and the state it leads to; each entry is read once.

        ``each`` sees the state right after every entry but the genesis.

        Whether the log is the latest, or the only one, is *not* known here.
        Raises what `Ledger.extend`, `found` and `apply` raise.
        """
        ledger, machine = Ledger(), None
        for data in entries:
            entry = ledger.extend(data)
            if machine is None:
                machine = cls.found(entry)
                continue
            statement = machine.apply(entry)
            if each is not None:
                each(machine, entry, statement)
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
        # (1) Somebody who may say this said it. Before that, nothing about the log is told.
        kind = statement_kind(envelope)
        statement = verify_statement(envelope, kind, self._keys(kind, envelope, index))
        # (2) It is new.
        recorded = self.board.recorded.get(statement.digest)
        if recorded is not None:
            raise DuplicateStatementError(what=kind, index=recorded)
        # (3) The state allows it.
        own = _OWN.get(kind)
        if own is not None:
            own(self, statement, index, time)
            self.board.recorded[statement.digest] = index
        else:
            self.board.apply(statement, index=index, time=time)
        return statement

    def _keys(self, kind: str, envelope: Envelope, index: int) -> Mapping[Digest, VerifyKey]:
        """The keys that may sign a statement of this kind, by key id."""
        match kind:
            case "service-start":
                # The first start names the log key; every later one must be signed by it.
                claimed = ServiceStart.from_fields(_peek(envelope, kind)).keyset.verify_key
                key = self.log_key or claimed
            case "recovery":
                return self._recovery_keys(_peek(envelope, kind), index)
            case _ if kind in _BY_SERVICE:
                if self.log_key is None:
                    raise LogKeyError(index=index)
                key = self.log_key
            case "tag-commit":
                claimed_run = TagCommit.from_fields(_peek(envelope, kind)).run
                key = self._record_of(claimed_run).release.keyset.verify_key
            case "run":
                key = self._run_record(_peek(envelope, kind)).release.keyset.verify_key
            case _:
                return self.board.keys
        return {key.key_id: key}

    def _recovery_keys(self, fields: Fields, index: int) -> Mapping[Digest, VerifyKey]:
        """The keys that must both sign a recovery: the new one, and the root secret's."""
        if self.root_shares is None:
            raise LogKeyError(index=index)
        keys = (Recovery.from_fields(fields).keyset.verify_key, self.root_shares.recovery_key)
        return {key.key_id: key for key in keys}

    def _run_record(self, fields: Fields) -> RunRecord:
        """The release that a run statement claims to end. Raises ``UnknownRunError``."""
        return self._record_of(RunStatement.from_fields(fields).run)

    def _record_of(self, run: str) -> RunRecord:
        record = self.runs.get(run)
        if record is None:
            raise UnknownRunError(run=run)
        return record

    @property
    def keyset(self) -> Keyset | None:
        """The keys of the trust service since its latest start."""
        return self.started[-1][0].keyset if self.started else None

    def policy_of(self, release: Release) -> Policy:
        """The policy of a recorded release; a later version may be in force by now."""
        versions = self.board.policies[release.policy]
        return next(item for item in versions if item.digest == release.policy_digest)

    def _must_be_here(self, board: Digest) -> None:
        if board != self.board.board:
            raise WrongBoardError(found=board, expected=self.board.board)

    def _start(self, statement: Statement, index: int, _time: datetime) -> None:
        start = ServiceStart.from_fields(statement.fields())
        self._must_be_here(start.board)
        if self.log_key is not None and start.keyset.verify_key != self.log_key:
            raise LogKeyError(index=index)
        self.log_key = start.keyset.verify_key
        self.started.append((start, index))
        # Releases of the start before may be lost. What it reserved stays counted, for ever.
        self.reservations.clear()

    def _reserve(self, statement: Statement, index: int, time: datetime) -> None:
        reservation = UseReservation.from_fields(statement.fields())
        self._must_be_here(reservation.board)
        start = self.started[-1][0]
        self.uses, self.reservations[reservation.key] = reserve(
            self.board,
            self.uses,
            self.reservations.get(reservation.key),
            reservation,
            digest=statement.digest,
            index=index,
            # Whoever has taken over has not started yet.
            boot=start.boot_nonce if start.keyset.verify_key == self.log_key else b"",
            now=time,
        )

    def _split(self, statement: Statement, index: int, _time: datetime) -> None:
        shares = RootShares.from_fields(statement.fields())
        self._must_be_here(shares.board)
        check_root_shares(self.board, self.root_shares, shares, index=index)
        self.root_shares = shares

    def _recover(self, statement: Statement, index: int, _time: datetime) -> None:
        recovery = Recovery.from_fields(statement.fields())
        self._must_be_here(recovery.board)
        keys = self._recovery_keys(statement.fields(), index)
        if statement.signers != keys.keys():
            raise LogKeyError(index=index)
        check_recovery(self.board, self.root_shares, recovery, index=index)
        self._pass_on(recovery.keyset.verify_key)

    def _hand_over(self, statement: Statement, index: int, _time: datetime) -> None:
        handover = Handover.from_fields(statement.fields())
        self._must_be_here(handover.board)
        check_handover(self.board, self.log_key, handover, index=index)
        self.handover = handover
        self._pass_on(handover.key)

    def _pass_on(self, key: VerifyKey) -> None:
        """From the next entry on, ``key`` is the log's."""
        if self.log_key is not None and self.log_key != key:
            self.former_keys.append(self.log_key)
        self.log_key = key
        self.reservations.clear()

    @property
    def log_keys(self) -> tuple[VerifyKey, ...]:
        """Every key that has signed checkpoints of this log, the present one first."""
        return (*([] if self.log_key is None else [self.log_key]), *reversed(self.former_keys))

    @property
    def closing_keys(self) -> tuple[VerifyKey, ...]:
        """Who may sign a checkpoint over exactly this log: after a hand-over also who wrote it.

        Once the new key has signed its first entry it is the only one.
        """
        fresh = self.keyset is None or self.keyset.verify_key != self.log_key
        return self.log_keys[: 2 if fresh else 1]

    def _release(self, statement: Statement, index: int, time: datetime) -> None:
        release = Release.from_fields(statement.fields())
        self._must_be_here(release.board)
        reserved = None
        if release.reservation is not None:
            reserved = reserved_for(self.board, self.reservations, release, time)
        policy, service = check_release(
            self.board,
            release,
            counted=self.uses if reserved is None else reserved.counted,
            totp_steps=self.totp_steps,
            index=index,
            now=time,
        )
        if release.run in self.runs or release.nonce in self.nonces:
            raise ReleaseInvalidError(index=index)
        volumes = opened(self.board, release, policy, service)
        if reserved is None:
            self.uses |= {use.offer: use.number for use in release.uses}
        else:
            self.reservations[reserved.reservation.key] = reserved.with_one_taken()
        if service.singleton and release.token_sha256 is not None:
            del self.board.tokens[release.token_sha256]
        if service.totp is not None and release.totp_step is not None:
            self.totp_steps[password_source(policy, service.totp)] = release.totp_step
        self.nonces.add(release.nonce)
        self.board.tags |= volumes
        self.runs[release.run] = RunRecord(
            replace(release, result=None, volumes=()), index, lease_until=release.lease_until
        )

    def _commit_tags(self, statement: Statement, _index: int, time: datetime) -> None:
        commit = TagCommit.from_fields(statement.fields())
        self._must_be_here(commit.board)
        record = self._record_of(commit.run)
        policy = self.policy_of(record.release)
        self.board.tags |= committed(self.board, commit, record, policy, now=time)

    def _resource(self, statement: Statement, index: int, time: datetime) -> None:
        release = ResourceRelease.from_fields(statement.fields())
        self._must_be_here(release.board)
        policy, secret, uses = agreed_resource(
            self.board,
            self.uses,
            policy=release.policy,
            service=release.service,
            secret=release.secret.name,
            run=release.run,
            assurance=release.assurance,
            now=time,
        )
        if (release.policy_digest, release.secret, release.uses) != (policy.digest, secret, uses):
            raise ReleaseInvalidError(index=index)
        for use in uses:
            self.uses[use.offer] = use.number

    def _renew(self, statement: Statement, index: int, time: datetime) -> None:
        renewal = Renewal.from_fields(statement.fields())
        self._must_be_here(renewal.board)
        record = self.runs.get(renewal.run)
        if record is None or record.statement is not None or record.lease_until is None:
            raise UnknownRunError(run=renewal.run)
        check_renewal(self.board, renewal, record, index=index, now=time)
        if renewal.nonce in self.nonces:
            raise ReleaseInvalidError(index=index)
        self.nonces.add(renewal.nonce)
        self.runs[renewal.run] = replace(record, lease_until=renewal.until)

    def _export(self, statement: Statement, index: int, time: datetime) -> None:
        export = SecretExport.from_fields(statement.fields())
        self._must_be_here(export.board)
        policy = shared_policy(
            self.board,
            policy=export.policy,
            secret=export.secret,
            importer=export.importer,
            log_key=export.log_key,
            now=time,
        )
        if policy.digest != export.policy_digest or export.nonce in self.nonces:
            raise ReleaseInvalidError(index=index)
        self.nonces.add(export.nonce)

    def _run(self, statement: Statement, _index: int, time: datetime) -> None:
        run = RunStatement.from_fields(statement.fields())
        self._must_be_here(run.board)
        record = self.runs[run.run]
        check_run(self.board, run, record, self.policy_of(record.release), now=time)
        self.runs[run.run] = replace(record, statement=run)
        self._remember_lineage(run, record.release)

    def _remember_lineage(self, run: RunStatement, release: Release) -> None:
        """What was computed from an asset keeps its owners, should it be offered in its turn.

        Deposited secrets are assets too. Two runs with one result share it, and its owners.
        """
        lineage = self.board.lineage
        owners = frozenset(owner_of(use.asset) for use in release.uses)
        policy = self.policy_of(release)
        owners |= held_owners(self.board, policy, policy.services[release.service])
        earlier = (lineage.get(tag, frozenset()) for _, tag in run.inputs)
        owners = owners.union(*earlier)
        for output in run.outputs:
            lineage[output.tag] = lineage.get(output.tag, frozenset()) | owners


def _peek(envelope: Envelope, kind: str) -> Fields:
    """The payload before its signature is verified: only to learn whose signature to ask for."""
    return Fields(parse_canonical_json(envelope.payload, what=kind), kind)


_OWN: dict[str, Callable[[Machine, Statement, int, datetime], None]] = {
    "service-start": Machine._start,  # noqa: SLF001 - the table belongs to the class
    "release": Machine._release,  # noqa: SLF001
    "tag-commit": Machine._commit_tags,  # noqa: SLF001
    "use-reservation": Machine._reserve,  # noqa: SLF001
    "resource-release": Machine._resource,  # noqa: SLF001
    "renewal": Machine._renew,  # noqa: SLF001
    "run": Machine._run,  # noqa: SLF001
    "export": Machine._export,  # noqa: SLF001
    "root-shares": Machine._split,  # noqa: SLF001
    "recovery": Machine._recover,  # noqa: SLF001
    "handover": Machine._hand_over,  # noqa: SLF001
}
