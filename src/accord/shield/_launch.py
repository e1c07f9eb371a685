# SPDX-License-Identifier: Apache-2.0
"""The shield: attest, receive, open, confine, run, seal, report (design section 11)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from accord.client import CHANNEL_LEVEL, TrustSession
from accord.encoding import Digest, Envelope
from accord.errors import (
    AccordError,
    ConfinementError,
    GrantError,
    NamespaceRefusedError,
    ObjectMissingError,
    OutputRefusedError,
    ProgramFailedError,
    RollbackError,
    RunStoppedError,
    SandboxMissingError,
    StoreError,
    UnreachableError,
    VolumeForkError,
    VolumeTamperedError,
    WrongVolumeError,
    WrongVolumeKeyError,
)
from accord.evidence import Attester
from accord.identity import (
    Keyset,
    KeySigner,
    SealKey,
    open_sealed,
    seal,
    sign_statement,
    verify_statement,
)
from accord.policy import Assurance, Output
from accord.release import (
    GRANT_PURPOSE,
    OUTPUT_KEY_PURPOSE,
    Grant,
    ReleaseRequest,
    RunOutcome,
    RunOutput,
    RunStatement,
    grant_context,
    output_key_context,
    shield_binding,
)
from accord.shield._confinement import Confinement
from accord.shield._memory import discard_private_memory, enter_private_memory
from accord.shield._outputs import collect_outputs
from accord.shield._sandbox import Outcome, require_sandbox, run_confined
from accord.volumes import (
    LocalStore,
    VolumeKey,
    new_volume_id,
    open_volume,
    parse_volume_id,
    seal_volume,
)

MAX_OUTPUT_FILES = 10_000
MAX_OUTPUT_BYTES = 16 << 30
"""Most that one output may hold: it is copied in private memory."""


RECORD_ATTEMPTS = 60
RECORD_PAUSE_S = 1.0
"""How long a run waits for an unreachable trust service before its outputs are given up."""


@dataclass(frozen=True, slots=True)
class Job:
    """The public facts with which a shield starts; none of them is secret or trusted."""

    url: str
    board: Digest
    policy: str
    service: str
    storage: Path
    """Folder in which each volume has a folder named by its id."""

    memory: Path
    """Where private memory is mounted."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run went, for the operator: nothing here shows data."""

    run: str
    assurance: Assurance
    channel: str
    index: int
    """Index of the run statement in the board's log."""

    outputs: tuple[RunOutput, ...]
    service_measurements: dict[str, str]
    shield_measurements: dict[str, str]
    seconds: float
    timing: str
    """The trust service's own timing of the release."""


@dataclass(frozen=True, slots=True)
class _Released:
    grant: Grant
    signer: KeySigner
    timing: str


Progress = Callable[[str], None]

_PUBLIC = (
    ProgramFailedError,
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
comes from inside a volume or from the program. Any other leaves as its code alone."""


def launch(job: Job, attester: Attester, *, progress: Progress = lambda _step: None) -> RunReport:
    """Runs one service of a policy to its end.

    Fails closed: whatever is refused on the way ends the shield before the program starts, and
    a program that fails leaves no output. Raises every family's errors.
    """
    # (0) What this host cannot do is said before a use is counted.
    require_sandbox()
    # (1) From here on plaintext has a place to be that the host cannot see.
    memory = enter_private_memory(job.memory)
    try:
        # (2) The trust service proves itself before it hears anything.
        with TrustSession.open(job.url, job.board) as session:
            progress("trust service attested")
            return _run_attested(session, job, attester, memory, progress)
    finally:
        discard_private_memory()


def _run_attested(
    session: TrustSession, job: Job, attester: Attester, memory: Path, progress: Progress
) -> RunReport:
    # (3) So do we, for exactly this service of this policy.
    released = _attest_and_receive(session, job, attester)
    progress(f"keys released for {released.grant.run}")
    # (4, 5, 6) From here on an error may have been caused, or worded, by somebody's plaintext.
    started = datetime.now(UTC)
    refusal: AccordError | None = None
    outputs: tuple[RunOutput, ...] = ()
    seconds = 0.0
    try:
        outputs, seconds = _open_run_seal(released.grant, job, memory, progress)
    except _PUBLIC as error:
        refusal = error
    except AccordError as error:
        refusal = RunStoppedError(run=released.grant.run, reason=error.code)
    except Exception as error:  # noqa: BLE001 - whatever it is, its words stay inside
        refusal = RunStoppedError(run=released.grant.run, reason=type(error).__name__)
    # (7) The log learns what went in and what came out, also where nothing did.
    outcome = RunOutcome.SUCCEEDED if refusal is None else RunOutcome.FAILED
    index = _record(session, job, _statement(released, outputs, outcome, started))
    if refusal is not None:
        raise refusal
    return RunReport(
        run=released.grant.run,
        assurance=released.grant.assurance,
        channel=CHANNEL_LEVEL,
        index=index,
        outputs=outputs,
        service_measurements=_hex(session.result.claims.measurements),
        shield_measurements=_hex(attester.measurements),
        seconds=seconds,
        timing=released.timing,
    )


def _open_run_seal(
    grant: Grant, job: Job, memory: Path, progress: Progress
) -> tuple[tuple[RunOutput, ...], float]:
    """The outputs of the run, sealed, and how long the program ran."""
    # (4) The volumes must be in the very versions that were voted on.
    inputs = _open_inputs(grant, job.storage, memory)
    progress("inputs opened")
    # (5) The program runs with no network, a clean environment and nothing else in sight.
    outputs = _make_outputs(grant, memory)
    outcome = _run(grant, inputs, outputs)
    if outcome.exit_code != 0:
        raise ProgramFailedError(run=grant.run)
    progress("the program has ended")
    # (6) What it wrote leaves encrypted, for the named readers alone.
    return _seal_outputs(grant, outputs, job.storage), outcome.seconds


def _record(session: TrustSession, job: Job, statement: Envelope) -> int:
    """Hands in the run statement, also where the trust service was restarted meanwhile.

    A restarted service has a new TLS key and must be attested anew; handing the same statement
    in twice changes nothing.
    """
    for _ in range(RECORD_ATTEMPTS):
        try:
            return session.record_run(statement)
        except UnreachableError:
            time.sleep(RECORD_PAUSE_S)
        with contextlib.suppress(UnreachableError):
            renewed = TrustSession.open(job.url, job.board)
            if renewed.keyset.verify_key != session.keyset.verify_key:
                raise GrantError(detail="the trust service is another one than released the keys")
            session = renewed
    return session.record_run(statement)


def _attest_and_receive(session: TrustSession, job: Job, attester: Attester) -> _Released:
    signer = KeySigner(Ed25519PrivateKey.generate())
    seal_key = X25519PrivateKey.generate()
    keyset = Keyset(signer.verify_key, SealKey(seal_key.public_key().public_bytes_raw()))
    nonce = session.challenge()
    binding = shield_binding(job.board, job.policy, job.service, keyset, nonce)
    evidence = attester.collect(binding.report_data())
    request = ReleaseRequest(job.board, job.policy, job.service, keyset, nonce, evidence)
    sealed, timing = session.release(request)
    message = open_sealed(
        sealed,
        seal_key,
        purpose=GRANT_PURPOSE,
        context=grant_context(job.board, nonce, keyset),
    )
    # Anybody can seal to us; only the attested trust service can sign a grant.
    service_key = session.keyset.verify_key
    statement = verify_statement(
        Envelope.from_bytes(message, what="grant", limit=64 << 20),
        "grant",
        {service_key.key_id: service_key},
    )
    grant = Grant.from_fields(statement.fields())
    wanted = [(item.asset, item.tag) for item in grant.service.inputs]
    if (grant.board, grant.service_name) != (job.board, job.service):
        raise GrantError(detail="it is for another board or service")
    if [(item.asset, item.tag) for item in grant.inputs] != wanted:
        raise GrantError(detail="its keys are not those of the service's inputs")
    # The founders signed the readers' keys; the grant may only repeat them.
    members = session.genesis.members
    known = {
        reader.name
        for reader in grant.readers
        if reader.name in members and members[reader.name].identity == reader
    }
    if any(not set(output.readers) <= known for output in grant.service.outputs):
        raise GrantError(detail="a reader's key is not the one in the genesis")
    return _Released(grant, signer, timing)


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


def _make_outputs(grant: Grant, memory: Path) -> dict[str, Path]:
    places = {}
    for number, output in enumerate(grant.service.outputs):
        places[output.at] = memory / f"out-{number}"
        places[output.at].mkdir(mode=0o700)
    return places


def _run(grant: Grant, inputs: dict[str, Path], outputs: dict[str, Path]) -> Outcome:
    return run_confined(
        Confinement(
            command=grant.service.command,
            environment=grant.service.environment,
            workdir=grant.service.workdir,
            read_only=inputs,
            writable=outputs,
            timeout_s=float(grant.service.timeout_s),
            memory_limit_bytes=None,
        )
    )


def _seal_outputs(grant: Grant, places: dict[str, Path], storage: Path) -> tuple[RunOutput, ...]:
    keys = {identity.name: identity.seal_key for identity in grant.readers}
    return tuple(
        _seal_output(grant, output, places[output.at], keys, storage)
        for output in grant.service.outputs
    )


def _seal_output(
    grant: Grant, output: Output, place: Path, keys: dict[str, SealKey], storage: Path
) -> RunOutput:
    collect_outputs(place, max_files=MAX_OUTPUT_FILES, max_bytes=MAX_OUTPUT_BYTES)
    key, volume_id = VolumeKey.generate(), new_volume_id()
    version = seal_volume(
        place, LocalStore(storage / volume_id), key=key, volume_id=volume_id, parent=None
    )
    sealed_keys = tuple(
        (
            reader,
            seal(
                key.raw,
                keys[reader],
                purpose=OUTPUT_KEY_PURPOSE,
                context=output_key_context(grant.board, grant.run, output.name, reader),
            ),
        )
        for reader in sorted(output.readers)
    )
    return RunOutput(output.name, volume_id, version.tag, version.key_commitment, sealed_keys)


def _statement(
    released: _Released, outputs: tuple[RunOutput, ...], outcome: RunOutcome, started: datetime
) -> Envelope:
    grant = released.grant
    statement = RunStatement(
        board=grant.board,
        run=grant.run,
        policy_digest=grant.policy_digest,
        service=grant.service_name,
        assurance=released.grant.assurance,
        inputs=tuple((item.asset, item.tag) for item in grant.inputs),
        outputs=outputs,
        outcome=outcome,
        started=started,
        finished=datetime.now(UTC),
    )
    return sign_statement("run", statement.to_json(), [released.signer])


def _hex(measurements: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.hex() for name, value in measurements.items()}
