# SPDX-License-Identifier: Apache-2.0
"""The shield: attest, receive, open, confine, run, seal, report (design section 11)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from accord.client import TrustSession
from accord.encoding import Envelope
from accord.errors import (
    AccordError,
    BoardMovedError,
    ConfinementError,
    ExecutionStoppedError,
    LeaseEndedError,
    LeaseLostError,
    NamespaceRefusedError,
    ObjectMissingError,
    OutputRefusedError,
    ProgramFailedError,
    RollbackError,
    RunStoppedError,
    SandboxMissingError,
    SecretError,
    StoreError,
    UnknownBoardError,
    UnreachableError,
    VolumeForkError,
    VolumeTamperedError,
    WrongVolumeError,
    WrongVolumeKeyError,
)
from accord.evidence import Attester
from accord.identity import sign_statement
from accord.release import Grant, Lease, RunOutcome, RunOutput, RunStatement
from accord.shield._confinement import Confinement
from accord.shield._export import make_outputs, seal_outputs
from accord.shield._injection import Injected, inject, replace_identity
from accord.shield._job import Job, Progress, RunReport, open_session
from accord.shield._lease import LeaseKeeper, ask_for_renewal
from accord.shield._memory import discard_private_memory, enter_private_memory
from accord.shield._receive import Received, receive, renewed_identity
from accord.shield._sandbox import Outcome, require_sandbox, run_confined
from accord.shield._way import Way
from accord.volumes import LocalStore, VolumeKey, open_volume, parse_volume_id

RECORD_ATTEMPTS = 60
RECORD_PAUSE_S = 1.0
"""How long a run waits for an unreachable trust service before its outputs are given up."""

_PUBLIC = (
    ProgramFailedError,
    LeaseLostError,
    SecretError,
    ObjectMissingError,
    VolumeTamperedError,
    RollbackError,
    VolumeForkError,
    WrongVolumeKeyError,
    WrongVolumeError,
    StoreError,
    SandboxMissingError,
    NamespaceRefusedError,
    ConfinementError,
    OutputRefusedError,
)
"""Refusals that may leave the shield in words: none quotes a name, a byte or a number that
comes from inside a volume or from the program, or the value of a secret. Any other leaves as
its code alone."""


def launch(job: Job, attester: Attester, *, progress: Progress = lambda _step: None) -> RunReport:
    """Runs one service of a policy to its end.

    Fails closed: whatever is refused on the way ends the shield before the program starts, and
    a program that fails, or loses its lease, leaves no output. Raises every family's errors.
    """
    # (0) What this host cannot do is said before a use is counted.
    require_sandbox()
    # (1) From here on plaintext has a place to be that the host cannot see.
    memory = enter_private_memory(job.memory)
    try:
        # (2) The trust service proves itself before it hears anything.
        with open_session(job) as session:
            progress("trust service attested")
            return run_attested(session, job, attester, memory, progress=progress)
    finally:
        discard_private_memory()


def run_attested(
    session: TrustSession, job: Job, attester: Attester, memory: Path, *, progress: Progress
) -> RunReport:
    """`launch` in ``memory``, over a session with the attested trust service."""
    with Way(job, session.keyset.verify_key) as way:
        # (3) So do we, for exactly this service of this policy.
        try:
            received = receive(session, job, attester)
        except BoardMovedError:  # Since somebody wrote the address down.
            session = way.keep(way.follow(session))
            received = receive(session, job, attester)
        return _run_received(
            received,
            session,
            way,
            job=job,
            attester=attester,
            memory=memory,
            progress=progress,
        )


def _run_received(
    received: Received,
    session: TrustSession,
    way: Way,
    *,
    job: Job,
    attester: Attester,
    memory: Path,
    progress: Progress,
) -> RunReport:
    grant = received.grant
    progress(f"keys released for {grant.run}")
    # (4, 5, 6) From here on an error may have been caused, or worded, by somebody's plaintext.
    started = datetime.now(UTC)
    refusal: AccordError | None = None
    outputs: tuple[RunOutput, ...] = ()
    seconds = 0.0
    try:
        with _lease(way, job, attester, received, memory) as lease:
            outputs, seconds = _open_run_seal(received, job, memory, lease, progress)
            lease.check()
    except _PUBLIC as error:
        refusal, outputs = error, ()
    except AccordError as error:
        refusal = RunStoppedError(run=grant.run, reason=error.code)
    except Exception as error:  # noqa: BLE001 - whatever it is, its words stay inside
        refusal = RunStoppedError(run=grant.run, reason=type(error).__name__)
    # (7) The log learns what went in and what came out, also where nothing did.
    outcome = RunOutcome.SUCCEEDED if refusal is None else RunOutcome.FAILED
    statement = _statement(received, outputs, outcome, started)
    if refusal is not None:
        with contextlib.suppress(AccordError):
            _record(session, way, statement)
        raise refusal
    try:
        index = _record(session, way, statement)
    except (ExecutionStoppedError, LeaseEndedError):
        # Too late, at the very end: the log learns that nothing came of it.
        with contextlib.suppress(AccordError):
            _record(session, way, _statement(received, (), RunOutcome.FAILED, started))
        raise
    return RunReport(
        run=grant.run,
        assurance=grant.assurance,
        channel=session.channel.value,
        index=index,
        outputs=outputs,
        service_measurements=_hex(session.result.claims.measurements),
        shield_measurements=_hex(attester.measurements),
        seconds=seconds,
        timing=received.timing,
    )


def _lease(way: Way, job: Job, attester: Attester, received: Received, memory: Path) -> LeaseKeeper:
    """What says whether the run may go on; it renews over connections of its own."""
    grant = received.grant

    def renew() -> Lease:
        return ask_for_renewal(
            job,
            attester,
            run=grant.run,
            keyset=received.keyset,
            signer=received.signer,
            way=way,
        )

    def renewed(lease: Lease) -> None:
        if received.own is not None:
            secrets = renewed_identity(lease, job, received)
            replace_identity(grant.service, secrets, _injected(memory))

    return LeaseKeeper(
        run=grant.run,
        lease_s=grant.service.lease_s,
        asked=received.asked,
        renew=renew,
        renewed=renewed,
    )


def _injected(memory: Path) -> Path:
    return memory / "injected"


def _open_run_seal(
    received: Received, job: Job, memory: Path, lease: LeaseKeeper, progress: Progress
) -> tuple[tuple[RunOutput, ...], float]:
    """The outputs of the run, sealed, and how long the program ran."""
    grant = received.grant
    # (4) Every template is filled in, and the volumes must be in the very versions that were
    #     voted on.
    injected = inject(grant.service, received.secrets, _injected(memory))
    inputs = _open_inputs(grant, job.storage, memory)
    progress("inputs opened")
    # (5) The program runs in a clean environment with nothing else in sight, while it may.
    outputs = make_outputs(grant, memory)
    lease.check()
    outcome = _run(grant, injected, inputs, outputs, lease)
    lease.check()
    if outcome.exit_code != 0:
        raise ProgramFailedError(run=grant.run)
    progress("the program has ended")
    # (6) What it wrote leaves encrypted, for the named readers alone.
    return seal_outputs(grant, outputs, job.storage), outcome.seconds


def _record(session: TrustSession, way: Way, statement: Envelope) -> int:
    """Hands in the run statement, also where the trust service was restarted meanwhile.

    A restarted service has a new TLS key and must be attested anew, and one to which the board
    moves may not have all of it yet; handing the same statement in twice changes nothing.
    """
    for _ in range(RECORD_ATTEMPTS):
        try:
            return session.record_run(statement)
        except BoardMovedError:
            with contextlib.suppress(UnreachableError):
                session = way.keep(way.follow(session))
                continue
            time.sleep(RECORD_PAUSE_S)
        except (UnreachableError, UnknownBoardError):
            time.sleep(RECORD_PAUSE_S)
            with contextlib.suppress(UnreachableError):
                session = way.keep(way.open())
    return session.record_run(statement)


def _open_inputs(grant: Grant, storage: Path, memory: Path) -> dict[str, Path]:
    places = {}
    for number, (item, granted) in enumerate(zip(grant.service.inputs, grant.inputs, strict=True)):
        volume_id = parse_volume_id(granted.volume_id, what="volume_id")
        volume = open_volume(
            LocalStore(storage / volume_id),
            key=VolumeKey(granted.key),
            volume_id=volume_id,
            tag=granted.tag,
        )
        place = memory / f"in-{number}"
        volume.extract(place)
        places[item.at] = place
    return places


def _run(
    grant: Grant,
    injected: Injected,
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    lease: LeaseKeeper,
) -> Outcome:
    return run_confined(
        Confinement(
            command=injected.command,
            environment=injected.environment,
            workdir=grant.service.workdir,
            read_only={**inputs, **injected.read_only},
            writable=outputs,
            timeout_s=float(grant.service.timeout_s),
            memory_limit_bytes=None,
            links=injected.links,
            network=grant.service.network,
        ),
        allowed=None if grant.service.lease_s is None else lease.holds,
    )


def _statement(
    received: Received, outputs: tuple[RunOutput, ...], outcome: RunOutcome, started: datetime
) -> Envelope:
    grant = received.grant
    statement = RunStatement(
        board=grant.board,
        run=grant.run,
        policy_digest=grant.policy_digest,
        service=grant.service_name,
        assurance=grant.assurance,
        inputs=tuple((item.asset, item.tag) for item in grant.inputs),
        outputs=outputs,
        outcome=outcome,
        started=started,
        finished=datetime.now(UTC),
    )
    return sign_statement("run", statement.to_json(), [received.signer])


def _hex(measurements: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.hex() for name, value in measurements.items()}
