# SPDX-License-Identifier: Apache-2.0
"""Leases: a program runs for as long as the trust service says, and not a second longer."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.unit.shield.fakes import (
    BOARD,
    RUN,
    FakeAttester,
    FakeService,
    identity_of,
    job_in,
    service_of,
    shell,
)

from accord.errors import (
    AccordError,
    AppraisalError,
    ConsentWithdrawnError,
    ExecutionStoppedError,
    LeaseEndedError,
    LeaseLostError,
    NonceError,
    NotAttestedError,
    UnreachableError,
)
from accord.evidence import Purpose
from accord.identity import KeySigner
from accord.release import Lease, RunOutcome
from accord.shield import Job, PrivateMemory, _lease, _memory
from accord.shield._launch import run_attested
from accord.shield._lease import LeaseKeeper, boot_time
from accord.shield._way import Way

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")

LEASE = Lease(BOARD, RUN, bytes(32), datetime(2026, 1, 1, tzinfo=UTC))
UNREACHABLE = UnreachableError(url="https://trust.example", detail="nobody answers")
STOPPED = ExecutionStoppedError(member="ann", scope="board", reason="an incident")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose memory counts as private, under policies that may say one second."""
    job = job_in(tmp_path)
    monkeypatch.setattr(_memory, "_entered", PrivateMemory(job.memory, never_swapped=True))
    monkeypatch.setattr("accord.policy._service.MIN_LEASE_S", 1)
    return job


def run(fake: FakeService, job: Job) -> None:
    session: Any = fake
    run_attested(session, job, FakeAttester(), job.memory, progress=lambda _: None)


def keeper(
    renew: Callable[[], Lease],
    *,
    renewed: Callable[[Lease], None] = lambda _: None,
    lease_s: int | None = 1,
    ago: float = 0.0,
) -> LeaseKeeper:
    return LeaseKeeper(
        run=RUN, lease_s=lease_s, asked=boot_time() - ago, renew=renew, renewed=renewed
    )


def refusing(*errors: Exception) -> Callable[[], Lease]:
    """Raises each of ``errors`` once and then agrees."""
    waiting = list(errors)

    def renew() -> Lease:
        if waiting:
            raise waiting.pop(0)
        return LEASE

    return renew


# --- a whole run ----------------------------------------------------------------------------


@needs_bwrap
def test_renewed_program_outlives_its_first_lease(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fresh evidence at half its life, for a nonce of its own, over the channel of the session."""
    fake = FakeService(shell("sleep 2.3", lease_s=1)).install(monkeypatch)

    run(fake, job)

    assert [item.outcome for item in fake.statements] == [RunOutcome.SUCCEEDED]
    assert 3 <= len(fake.renewals) <= 6
    assert fake.purposes == [Purpose.RELEASE, *[Purpose.LEASE] * len(fake.renewals)]
    assert len({item.nonce for item in fake.renewals}) == len(fake.renewals)
    assert {item.channel for item in fake.renewals} == {fake.channel}


@needs_bwrap
@pytest.mark.parametrize("late", [STOPPED, LeaseEndedError(run=RUN)], ids=["stopped", "ended"])
def test_results_that_come_too_late_are_given_up(
    job: Job, monkeypatch: pytest.MonkeyPatch, late: AccordError
) -> None:
    """The log learns that the run failed; the key of no output is in it."""
    fake = FakeService(shell("true"), too_late=late).install(monkeypatch)

    with pytest.raises(type(late)):
        run(fake, job)

    told = [(item.outcome, len(item.outputs)) for item in fake.statements]
    assert told == [(RunOutcome.SUCCEEDED, 1), (RunOutcome.FAILED, 0)]


def _children(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@needs_bwrap
@pytest.mark.parametrize(
    ("refusal", "reason", "limit_s"),
    [
        pytest.param(STOPPED, r"accord-REL-012 .*ann", 1.5, id="stopped"),
        pytest.param(
            ConsentWithdrawnError(owner="ann", asset="data"), "accord-REL-005", 1.5, id="withdrawn"
        ),
        pytest.param(UNREACHABLE, "it ended; accord-CHN-001", 2.0, id="unreachable"),
    ],
)
def test_program_is_killed_when_its_lease_is_lost(
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    refusal: AccordError,
    reason: str,
    limit_s: float,
) -> None:
    """All of it, deaf children as well, at the latest a second after the lease has ended."""
    marker = f"leased-{os.getpid()}-{limit_s}"
    script = f"trap '' TERM INT; echo x > /out/model/x; (setsid sleep 60 &); : {marker}; sleep 60"
    fake = FakeService(shell(script, lease_s=1), refusals=[refusal] * 100).install(monkeypatch)
    started = time.monotonic()

    with pytest.raises(LeaseLostError, match=reason) as caught:
        run(fake, job)

    assert time.monotonic() - started <= limit_s
    assert caught.value.details["run"] == RUN
    assert _children(marker) == []
    assert [(item.outcome, item.outputs) for item in fake.statements] == [(RunOutcome.FAILED, ())]
    assert not job.storage.exists()


@needs_bwrap
def test_time_from_stop_to_kill_is_at_most_the_lease_and_a_second(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member stops the run just after a renewal, and from then on nobody answers."""
    fake = FakeService(shell("sleep 60", lease_s=2)).install(monkeypatch)
    stopped: list[float] = []

    def renew(_: object) -> Lease:
        if stopped:
            raise UNREACHABLE
        stopped.append(time.monotonic())
        return LEASE

    monkeypatch.setattr(fake, "renew", renew)
    with pytest.raises(LeaseLostError):
        run(fake, job)
    assert 1.0 <= time.monotonic() - stopped[0] <= 2 + 1


@needs_bwrap
def test_certificate_is_replaced_while_the_program_runs(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, so that the program sees the old file or the new; the key stays."""
    script = """
        cp /run/own.crt /out/model/before; cp /run/own.key /out/model/key-before
        while cmp -s /run/own.crt /out/model/before; do sleep 0.1; done
        cp /run/own.crt /out/model/after; cp /run/own.key /out/model/key-after
        stat -L -c %a /run/own.crt > /out/model/mode
    """
    files = [
        {"at": "/run/own.crt", "content": "{{ accord.identity:crt }}", "mode": "0444"},
        {"at": "/run/own.key", "content": "{{ accord.identity:privatekey }}"},
    ]
    fake = FakeService(shell(script, lease_s=1, identity=True, files=files)).install(monkeypatch)

    run(fake, job)

    seen = {path.name: path.read_bytes() for path in fake.output(job, tmp_path / "o").iterdir()}
    assert seen["before"] != seen["after"]
    assert seen["after"].startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert (seen["key-before"], seen["mode"]) == (seen["key-after"], b"444\n")


def test_certificate_that_is_not_ours_renews_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease ends, and with it the program."""
    fake = FakeService(shell("sleep 60", lease_s=1, identity=True)).install(monkeypatch)
    monkeypatch.setattr(fake, "renew", lambda _: LEASE)
    with pytest.raises(LeaseLostError, match="accord-SHD-020"):
        run(fake, job)


def test_lease_that_ended_before_the_program_started_starts_none(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening the inputs may take longer than a lease."""
    fake = FakeService(service_of(lease_s=1), refusals=[STOPPED]).install(monkeypatch)

    def slow(*_: object) -> dict[str, Path]:
        time.sleep(0.8)
        return {}

    monkeypatch.setattr("accord.shield._launch._open_inputs", slow)
    started = []
    monkeypatch.setattr("accord.shield._launch.run_confined", lambda *_, **__: started.append(1))
    with pytest.raises(LeaseLostError, match="accord-REL-012"):
        run(fake, job)
    assert (started, [item.outcome for item in fake.statements]) == ([], [RunOutcome.FAILED])


# --- the keeper -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(UNREACHABLE, id="unreachable"),
        pytest.param(RuntimeError("a bug"), id="bug"),
    ],
)
def test_renewal_is_tried_again_while_the_lease_lasts(trouble: Exception) -> None:
    """A restart of the trust service does not end a run."""
    with keeper(refusing(trouble, trouble)) as lease:
        time.sleep(1.3)
        assert lease.holds()
        lease.check()


def test_bug_ends_the_lease_with_the_kind_of_error_alone() -> None:
    """Its words could quote anything."""
    with keeper(refusing(*[RuntimeError("a secret word")] * 100)) as lease:
        time.sleep(1.1)
        with pytest.raises(LeaseLostError, match=r"it ended; RuntimeError$"):
            lease.check()


def test_lease_without_an_end_holds() -> None:
    """Most services have none, and no thread."""
    before = threading.active_count()
    with keeper(refusing(UNREACHABLE), lease_s=None, ago=1e9) as lease:
        lease.check()
        assert threading.active_count() == before


def test_late_renewal_brings_nothing_back() -> None:
    """What was said to be lost stays lost."""
    asked, answer = threading.Event(), threading.Event()

    def renew() -> Lease:
        asked.set()
        answer.wait(5)
        return LEASE

    renewed: list[Lease] = []
    with keeper(renew, renewed=renewed.append) as lease:
        assert asked.wait(5)
        time.sleep(0.7)
        assert not lease.holds()
        answer.set()
        time.sleep(0.2)
        with pytest.raises(LeaseLostError, match=r"it ended$"):
            lease.check()
    assert renewed == []


def test_answer_after_the_lease_is_too_late_even_if_nobody_looked() -> None:
    """The clock decides, not the order of questions."""

    def renew() -> Lease:
        time.sleep(0.8)
        return LEASE

    renewed: list[Lease] = []
    with keeper(renew, renewed=renewed.append) as lease:
        time.sleep(1.5)
        assert (lease.holds(), renewed) == (False, [])


def test_renewal_on_its_way_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it change anything afterwards."""
    monkeypatch.setattr(_lease, "_JOIN_S", 0.05)
    asked, answer = threading.Event(), threading.Event()

    def renew() -> Lease:
        asked.set()
        answer.wait(5)
        return LEASE

    renewed: list[Lease] = []
    with keeper(renew, renewed=renewed.append) as lease:
        assert asked.wait(5)
    answer.set()
    lease._thread.join(5)
    assert renewed == []


def test_time_counts_from_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow answer does not lengthen a lease: the trust service counts from before it."""

    def renew() -> Lease:
        time.sleep(0.4)
        return LEASE

    calls = iter([renew])

    def once() -> Lease:
        return next(calls, refusing(UNREACHABLE))()

    with keeper(once) as lease:
        begin = boot_time()
        while lease.holds():
            time.sleep(0.01)
    assert boot_time() - begin == pytest.approx(1.5, abs=0.25)


# --- asking ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "raised"),
    [
        pytest.param(STOPPED, LeaseLostError, id="stopped"),
        pytest.param(AppraisalError(summary="x"), LeaseLostError, id="appraisal"),
        pytest.param(NonceError(detail="x"), NonceError, id="nonce"),
        pytest.param(NotAttestedError(), NotAttestedError, id="restarted"),
        pytest.param(UNREACHABLE, UnreachableError, id="unreachable"),
    ],
)
def test_only_a_refusal_of_the_attested_service_is_final(
    job: Job, monkeypatch: pytest.MonkeyPatch, refusal: AccordError, raised: type[AccordError]
) -> None:
    """Whatever a network, or a restart, can bring about is tried again."""
    fake = FakeService(service_of(lease_s=1)).install(monkeypatch)
    session: Any = fake
    received = _receive(session, job)
    fake.refusals = [refusal]
    with pytest.raises(raised):
        _lease.ask_for_renewal(
            job,
            FakeAttester(),
            run=RUN,
            keyset=received.keyset,
            signer=received.signer,
            way=Way(job, fake.keyset.verify_key),
        )
    assert fake.closed


def _receive(session: Any, job: Job) -> Any:
    from accord.shield._receive import receive

    return receive(session, job, FakeAttester())


def test_other_service_cannot_renew(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log does not know the run."""
    fake = FakeService(service_of()).install(monkeypatch)
    fake.keyset = dataclasses.replace(fake.keyset, verify_key=identity_of("x").verify_key)
    other = identity_of("y").verify_key
    with pytest.raises(AccordError, match="another one"):
        _lease.ask_for_renewal(
            job,
            FakeAttester(),
            run=RUN,
            keyset=fake.keyset,
            signer=KeySigner(Ed25519PrivateKey.generate()),
            way=Way(job, other),
        )
