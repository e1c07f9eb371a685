# SPDX-License-Identifier: Apache-2.0
"""One run from release to statement, against a trust service in this process."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.shield.fakes import (
    BOARD,
    POLICY,
    RUN,
    FakeAttester,
    FakeService,
    identity_of,
    job_in,
    service_of,
    shell,
)

from accord.client import TrustSession
from accord.encoding import sha256
from accord.errors import (
    AccordError,
    ChannelLevelError,
    ConfinementError,
    GrantError,
    OutputRefusedError,
    ProgramFailedError,
    RunStoppedError,
    UnknownSecretError,
    UnreachableError,
)
from accord.policy import SecretKind
from accord.release import Grant, RunOutcome, shield_binding
from accord.secrets import PolicyAuthority, SecretValue
from accord.shield import Job, PrivateMemory, RunReport, _export, _injection, _launch, _memory
from accord.shield._identity import ServiceKey
from accord.shield._job import open_again, open_session
from accord.shield._launch import run_attested

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")

CANARY = "a-secret-canary"
TEXT = SecretValue(SecretKind.ASCII, CANARY.encode())
RAW = SecretValue(SecretKind.BINARY, b"\x00\x01raw" * 8)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose memory counts as private."""
    job = job_in(tmp_path)
    monkeypatch.setattr(_memory, "_entered", PrivateMemory(job.memory, never_swapped=True))
    monkeypatch.setattr(_launch, "RECORD_PAUSE_S", 0.0)
    return job


def run(fake: FakeService, job: Job) -> RunReport:
    session: Any = fake
    return run_attested(session, job, FakeAttester(), job.memory, progress=lambda _: None)


# --- injection ------------------------------------------------------------------------------

FILES = [
    {"at": "/run/app/deep/config", "content": "password={{ accord.word }}\n"},
    {"at": "/run/key", "content": "{{ accord.raw:bin }}", "mode": "0440"},
]
SHOW = """
    cd /out/model
    printf '%s' "$1" > argument; printf '%s' "$WORD" > variable
    cat /run/app/deep/config > config; cat /run/key > key
    stat -L -c '%a' /run/app/deep/config /run/key > modes
    for f in /run/key /run/app/deep/config; do
        (echo x >> $f) 2>/dev/null && echo written > changed
        rm -f $f 2>/dev/null; (echo x > /run/.accord/9) 2>/dev/null && echo made > changed
    done
    cat /run/key > again 2>/dev/null; ls /run/app/deep > listing
"""


@needs_bwrap
def test_secrets_reach_arguments_variables_and_files(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filled in where the policy names them; files read-only, with the mode that it says."""
    service = service_of(
        command=["/bin/sh", "-c", SHOW, "sh", "with {{ accord.word }}"],
        environment={"WORD": "{{accord.word:hex}}"},
        files=FILES,
    )
    fake = FakeService(service, {"word": TEXT, "raw": RAW}).install(monkeypatch)

    report = run(fake, job)

    seen = fake.output(job, tmp_path / "seen")
    assert (report.run, report.index, report.channel) == (RUN, 7, "L2")
    assert {path.name: path.read_bytes() for path in seen.iterdir()} == {
        "argument": f"with {CANARY}".encode(),
        "variable": CANARY.encode().hex().encode(),
        "config": f"password={CANARY}\n".encode(),
        "key": RAW.private,
        "modes": b"400\n440\n",
        "again": RAW.private,
        "listing": b"config\n",
    }


def test_unknown_name_is_fatal(tmp_path: Path) -> None:
    """Nothing is made of the rest either."""
    service = service_of(environment={"A": "{{ accord.word }}", "B": "{{ accord.other }}"})
    with pytest.raises(UnknownSecretError, match="other") as caught:
        _injection.inject(service, {"word": TEXT}, tmp_path / "injected")
    assert caught.value.details == {"where": "environment.B", "name": "other"}
    assert not (tmp_path / "injected").exists()


def test_value_is_never_taken_for_a_template(tmp_path: Path) -> None:
    """Whoever chooses one secret learns no other by it."""
    sly = SecretValue(SecretKind.ASSET, b"{{ accord.word }}")
    service = service_of(environment={"A": "{{ accord.sly }}"})
    injected = _injection.inject(service, {"word": TEXT, "sly": sly}, tmp_path / "injected")
    assert injected.environment == {"A": "{{ accord.word }}"}
    assert "accord.word" not in repr(injected)


def test_folder_of_the_shield_is_not_the_policys(tmp_path: Path) -> None:
    """A file there could stand in for another one."""
    service = service_of(files=[{"at": "/run/.accord/0", "content": "x"}])
    with pytest.raises(ConfinementError, match="belongs to the shield"):
        _injection.inject(service, {}, tmp_path / "injected")


def test_file_is_made_although_an_earlier_attempt_was_cut_off(tmp_path: Path) -> None:
    """Memory that was full once does not end the renewals of a certificate for good."""
    service = service_of(files=[{"at": "/run/x", "content": "{{ accord.word }}"}])
    folder = tmp_path / "injected"
    _injection.inject(service, {"word": TEXT}, folder)
    (folder / ".0").write_text("half of")
    _injection._write(service.files[0], 0, {"word": RAW}, folder)
    assert [path.name for path in folder.iterdir()] == ["0"]
    assert (folder / "0").read_text() == RAW.private.hex()


def test_full_memory_is_told_without_the_content(tmp_path: Path) -> None:
    """The name of the policy's file, and what the system said."""
    service = service_of(files=[{"at": "/run/x", "content": "{{ accord.word }}"}])
    (tmp_path / "injected").write_text("in the way")
    with pytest.raises(ConfinementError, match=r"/run/\.accord cannot be made"):
        _injection.inject(service, {"word": TEXT}, tmp_path / "injected")
    with pytest.raises(ConfinementError, match="/run/x cannot be made") as caught:
        _injection._write(service.files[0], 0, {"word": TEXT}, tmp_path / "injected")
    assert CANARY not in str(caught.value)


# --- what the grant must say ----------------------------------------------------------------


def _other_chain(grant: Grant) -> tuple[bytes, ...]:
    return _issued(ServiceKey.generate().spki, POLICY)


def _issued(spki: bytes, policy: str) -> tuple[bytes, ...]:
    now = datetime.now(UTC)
    authority = PolicyAuthority.create(board=BOARD, policy=policy, now=now)
    lifetime = datetime(2100, 1, 1, tzinfo=UTC) - now
    return authority.issue(spki, service="trainer", now=now, lifetime=lifetime)


PLAIN: dict[str, Any] = {}
LEASED = {"lease_s": 60}
CERTIFIED = {"identity": True}
NAMING = {"environment": {"A": "{{ accord.word }}"}}
AUTHORISED = {"environment": {"A": "{{ accord.authority }}"}}
WORD = {"word": TEXT.to_bytes()}
MISFITS: dict[str, tuple[Mapping[str, Any], Callable[[Grant], dict[str, Any]], str]] = {
    "board": (PLAIN, lambda _: {"board": sha256(b"other")}, "another board"),
    "service": (PLAIN, lambda _: {"service_name": "other"}, "another board or service"),
    "no-reader": (PLAIN, lambda _: {"readers": ()}, "readers"),
    "extra-reader": (
        PLAIN, lambda g: {"readers": (*g.readers, identity_of("eve"))}, "readers",
    ),
    "reader-twice": (
        PLAIN, lambda g: {"readers": (*g.readers, identity_of("ann"))}, "readers",
    ),
    "missing-input": (
        {"inputs": [{"asset": "ann/data", "tag": sha256(b"x"), "at": "/in/x"}]},
        lambda _: {},
        "keys",
    ),
    "no-lease": (LEASED, lambda _: {"lease_until": None}, "lease"),
    "extra-lease": (PLAIN, lambda _: {"lease_until": datetime(2100, 1, 1, tzinfo=UTC)}, "lease"),
    "missing-secret": (NAMING, lambda _: {}, "secrets"),
    "extra-secret": (PLAIN, lambda _: {"secrets": WORD}, "secrets"),
    "broken-secret": (NAMING, lambda _: {"secrets": {"word": b"{}"}}, "value of word is none"),
    "no-authority": (AUTHORISED, lambda _: {}, "secrets are not those"),
    "authority-of-no-kind": (AUTHORISED, lambda _: {"secrets": {"authority": TEXT.to_bytes()}},
        "which nobody may get"),
    "no-certificate": (CERTIFIED, lambda _: {"identity": ()}, "certificate"),
    "extra-certificate": (PLAIN, lambda _: {"identity": (b"x",)}, "certificate"),
    "no-x509": (CERTIFIED, lambda _: {"identity": (b"x",)}, "not one for the shield's key"),
    "other-key": (CERTIFIED, lambda g: {"identity": _other_chain(g)}, "not one for the shield's"),
    "other-policy": (
        CERTIFIED,
        lambda g: {"identity": _issued(_spki(g), "other")},
        "not one for the shield's",
    ),
    "torn-chain": (
        CERTIFIED,
        lambda g: {"identity": (g.identity[0], _issued(_spki(g), POLICY)[1])},
        "not one for the shield's",
    ),
}  # fmt: skip


def _spki(grant: Grant) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    own = x509.load_der_x509_certificate(grant.identity[0])
    return own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("name", MISFITS)
def test_grant_that_does_not_fit_is_refused(
    job: Job, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nothing is opened or started for it, however well it is signed."""
    changes, misfit, reason = MISFITS[name]
    fake = FakeService(
        service_of(**changes), change=lambda grant: dataclasses.replace(grant, **misfit(grant))
    ).install(monkeypatch)
    with pytest.raises(GrantError, match=reason):
        run(fake, job)
    assert (fake.statements, list(job.memory.iterdir())) == ([], [])


def test_authority_with_its_key_is_refused(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that had it could certify anybody."""
    fake = FakeService(service_of(**AUTHORISED)).install(monkeypatch)
    fake.values = {"authority": fake.authority.value}
    with pytest.raises(GrantError, match="which nobody may get"):
        run(fake, job)


def test_certificate_of_another_authority_is_refused(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a service gets both, one must have issued the other."""
    other = PolicyAuthority.create(board=BOARD, policy=POLICY, now=datetime.now(UTC))
    fake = FakeService(service_of(**AUTHORISED, **CERTIFIED)).install(monkeypatch)
    fake.values = {"authority": other.value.public_only()}
    with pytest.raises(GrantError, match="another authority"):
        run(fake, job)


def test_grant_of_somebody_else_is_refused(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can seal to a shield; only the attested service's signature counts."""
    fake = FakeService(service_of()).install(monkeypatch)
    monkeypatch.setattr(fake, "signer", FakeService(service_of()).signer)
    with pytest.raises(AccordError, match=r"signature|signer|key"):
        run(fake, job)
    assert fake.statements == []


# --- the service's own certificate ----------------------------------------------------------


@needs_bwrap
def test_program_gets_a_certificate_for_a_key_of_its_own(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is made here and only asked for once the policy is known to certify it."""
    files = [
        {"at": "/run/tls/own.pem", "content": "{{ accord.identity:privatekey }}"},
        {"at": "/run/tls/chain.pem", "content": "{{ accord.identity:chain }}"},
        {"at": "/run/tls/root.pem", "content": "{{ accord.authority }}"},
    ]
    service = shell("cp /run/tls/*.pem /out/model", files=files, identity=True)
    fake = FakeService(service).install(monkeypatch)
    fake.values = {"authority": fake.authority.value.public_only()}

    run(fake, job)

    seen = fake.output(job, tmp_path / "seen")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(seen / "chain.pem", seen / "own.pem")
    context.load_verify_locations(seen / "root.pem")
    assert [request.tls_spki is None for request in fake.requests] == [True, False]
    assert fake.requests[0].keyset != fake.requests[1].keyset


# --- second factors and channel -------------------------------------------------------------


@needs_bwrap
def test_second_factors_are_sent_and_bound(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evidence names the token's digest; neither is in any description of the job."""
    token, otp = bytes(range(32)), "492039"
    fake = FakeService(service_of()).install(monkeypatch)
    job = dataclasses.replace(job, token=token, otp=otp)

    run(fake, job)

    (request,) = fake.requests
    assert (request.token, request.otp) == (token, otp)
    bound = shield_binding(
        BOARD, POLICY, "trainer", request.keyset, request.nonce,
        token_sha256=hashlib.sha256(token).digest(), exporter=request.nonce[::-1],
    )  # fmt: skip
    assert request.evidence.blob == bound.report_data()
    assert otp not in repr(job)
    assert repr(token) not in repr(job)


def test_level_that_was_asked_for_is_not_lowered(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail closed: ``--channel L2`` means it."""

    def refusing(*_: object, **__: object) -> None:
        raise ChannelLevelError(level="L2", detail="x")

    monkeypatch.setattr(TrustSession, "open", refusing)
    with pytest.raises(ChannelLevelError):
        open_session(job)


def test_service_with_another_log_key_is_not_spoken_to(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the service that released the keys knows the run."""
    fake = FakeService(service_of()).install(monkeypatch)
    with pytest.raises(GrantError, match="another one"):
        open_again(job, identity_of("ann").verify_key)
    assert fake.closed


@needs_bwrap
@pytest.mark.parametrize(("network", "seen"), [("none", "1\n"), ("open", "2\n")])
def test_program_has_the_network_that_the_policy_says(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, seen: str
) -> None:
    """The network namespace of the host, or one of its own with an idle loopback."""
    mine = Path("/proc/self/ns/net").readlink()
    script = f'test "$(readlink /proc/self/ns/net)" = "{mine}"; echo $((2 - $?)) > /out/model/seen'
    fake = FakeService(shell(script, network=network)).install(monkeypatch)
    run(fake, job)
    assert (fake.output(job, tmp_path / "seen") / "seen").read_text() == seen


# --- outputs and the statement --------------------------------------------------------------


@needs_bwrap
@pytest.mark.parametrize(("size", "kept"), [(100, True), (101, False)])
def test_output_larger_than_the_policy_allows_is_refused(
    job: Job, monkeypatch: pytest.MonkeyPatch, size: int, *, kept: bool
) -> None:
    """Nothing of any output is sealed, and the run counts as failed."""
    outputs = [
        {"name": "first", "at": "/out/first", "readers": ["ann"]},
        {"name": "model", "at": "/out/model", "readers": ["ann"], "max_bytes": 100},
    ]
    fake = FakeService(shell(f"head -c {size} /dev/zero > /out/model/x", outputs=outputs))
    fake.install(monkeypatch)
    if kept:
        run(fake, job)
    else:
        with pytest.raises(OutputRefusedError, match="larger than allowed"):
            run(fake, job)
    (statement,) = fake.statements
    assert (statement.outcome is RunOutcome.SUCCEEDED, len(statement.outputs)) == (kept, 2 * kept)
    assert job.storage.exists() is kept


@needs_bwrap
def test_failing_program_leaves_no_output(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log learns that it failed, and not how."""
    fake = FakeService(shell("echo x > /out/model/x; exit 9")).install(monkeypatch)
    with pytest.raises(ProgramFailedError):
        run(fake, job)
    assert [item.outcome for item in fake.statements] == [RunOutcome.FAILED]


@pytest.mark.parametrize(
    "error", [ValueError("its words"), UnreachableError(url="its words", detail="d")]
)
@needs_bwrap
def test_unforeseen_error_leaves_as_its_kind_alone(
    job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Its words could quote the data."""

    def failing(*_: object, **__: object) -> None:
        raise error

    fake = FakeService(service_of()).install(monkeypatch)
    monkeypatch.setattr(_launch, "seal_outputs", failing)
    with pytest.raises(RunStoppedError, match=r"ValueError|accord-CHN-001") as caught:
        run(fake, job)
    assert "its words" not in str(caught.value)


@needs_bwrap
def test_statement_is_handed_in_when_the_service_is_back(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restarted service is attested anew."""
    fake = FakeService(service_of()).install(monkeypatch)
    record, calls = fake.record_run, []

    def unreachable(envelope: Any) -> int:
        calls.append(envelope)
        if len(calls) < 3:
            raise UnreachableError(url="u", detail="d")
        return record(envelope)

    monkeypatch.setattr(fake, "record_run", unreachable)
    assert run(fake, job).index == 7
    assert len({call.to_bytes() for call in calls}) == 1


@needs_bwrap
def test_refusal_is_not_hidden_by_an_unreachable_service(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went wrong first is what the operator hears."""
    fake = FakeService(shell("exit 9")).install(monkeypatch)
    monkeypatch.setattr(_launch, "RECORD_ATTEMPTS", 1)

    def unreachable(_: object) -> int:
        raise UnreachableError(url="u", detail="d")

    monkeypatch.setattr(fake, "record_run", unreachable)
    with pytest.raises(ProgramFailedError):
        run(fake, job)


def test_outputs_have_a_limit_even_where_the_policy_has_none() -> None:
    """They are copied in memory."""
    assert _export.MAX_OUTPUT_BYTES == 16 << 30


def test_key_of_the_service_is_in_no_repr() -> None:
    """A crash report shows no key."""
    assert repr(ServiceKey.generate()) == "ServiceKey()"
