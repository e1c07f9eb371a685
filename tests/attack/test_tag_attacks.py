# SPDX-License-Identifier: Apache-2.0
"""Attacks on live volumes: old storage, two writers, commits that are replayed or forged."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.board import Hardware as Machines
from tests.support.board import digest
from tests.support.live import Hardware
from tests.support.served import Served
from tests.support.tags import STATE, Live

from accord.client import TrustSession
from accord.encoding import Digest, Envelope
from accord.errors import (
    DuplicateStatementError,
    LiveVolumesError,
    SignatureInvalidError,
    TagMismatchError,
    TagWriterError,
    UncleanVolumeError,
    UnknownRunError,
    UnsupportedFormatError,
    WrongBoardError,
)
from accord.identity import KeySigner, sign_statement
from accord.policy import Policy
from accord.release import Grant, TagCommit, TagUpdate
from accord.shield._receive import _check


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Machines:
    return Machines.make(tmp_path_factory.mktemp("machines"))


@pytest.fixture
def live(machines: Machines) -> Live:
    return Live(machines, update="unprotected")


# --- the log ---------------------------------------------------------------------------------


def test_older_of_two_writers_commits_nothing(live: Live) -> None:
    """Both read one tag and both write: one history goes on, that of the run that opened last."""
    older, newer = live.gate.release(), live.gate.release()
    with live.world.refuses(TagWriterError, newer.run):
        live.commit(older, live.update("fork"))
    live.commit(newer, live.update("a"))
    with live.world.refuses(TagWriterError):
        live.commit(older, live.update("fork"))

    assert digest("a") == live.record().tag


def test_second_writer_of_a_protected_volume_does_not_even_start(machines: Machines) -> None:
    """The first is not disturbed by whoever starts the service twice."""
    live = Live(machines)
    run = live.gate.release()
    with live.world.refuses(UncleanVolumeError):
        live.gate.ask()
    live.commit(run, live.update("a"))

    assert (run.run, digest("a")) == (live.record().run, live.record().tag)


def test_replayed_commit_is_refused(live: Live) -> None:
    """The same bytes, and the same change once the tag has come back."""
    run = live.gate.release()
    there, back = live.update("a"), live.update("b", old=digest("a"), number=2)
    live.commit(run, there)
    with live.world.refuses(DuplicateStatementError):
        live.commit(run, there)
    live.commit(run, back, live.update("a", old=digest("b"), number=3))
    with live.world.refuses(TagMismatchError):
        live.commit(run, back, live.update("c", old=digest("b"), number=3))


def test_reordered_commits_are_refused(live: Live) -> None:
    """The second before the first, and the first after the second."""
    run = live.gate.release()
    first = live.update("a")
    with live.world.refuses(TagMismatchError):
        live.commit(run, live.update("b", old=digest("a"), number=2))
    live.commit(run, first, live.update("b", old=digest("a"), number=2))
    with live.world.refuses(TagMismatchError):
        live.commit(run, first)


def test_rolled_back_storage_is_refused(live: Live) -> None:
    """A shield that was shown an old version commits on top of it, in vain."""
    run = live.gate.release()
    for name in ("a", "b"):
        live.commit(run, live.update(name))
    again = live.gate.release()

    assert digest("b") == again.volumes[0].tag
    with live.world.refuses(TagMismatchError):
        live.commit(again, live.update("c", old=digest("a")))


def test_forged_commit_is_refused(live: Live) -> None:
    """By the service, by a member, by another shield."""
    run = live.gate.release()

    for forger in ("service", "ann", "other shield"):
        with live.world.refuses(SignatureInvalidError):
            live.commit(run, live.update("a"), by=forger)


def test_commit_of_another_run_volume_or_board_is_refused(live: Live) -> None:
    """What a shield may say of its own run, it may say of nothing else."""
    run = live.gate.release()
    update = live.update("a")
    with live.world.refuses(UnknownRunError):
        live.commit(replace(run, run="run-" + "0" * 32), update)
    with live.world.refuses(TagWriterError, "nobody has opened"):
        live.commit(run, replace(update, volume="other"))
    body = TagCommit(Digest(digest("other")), run.run, (update,)).to_json()
    with live.world.refuses(WrongBoardError):
        live.world.say("tag-commit", body, "shield")


# --- the service -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.create(tmp_path_factory.mktemp("hardware"))


@pytest.fixture
def served(tmp_path: Path, hardware: Hardware) -> Served:
    served = Served(hardware, tmp_path)
    served.enact(
        served.policy(volumes={"state": {"update": "unprotected"}}, train={"volumes": [STATE]})
    )
    return served


def commit(grant: Grant, signer: KeySigner, *tags: str) -> Envelope:
    old, updates = grant.volumes[0].tag, []
    for number, name in enumerate(tags, 1):
        updates.append(TagUpdate("state", number, old, digest(name)))
        old = digest(name)
    return sign_statement(
        "tag-commit", TagCommit(grant.board, grant.run, tuple(updates)).to_json(), [signer]
    )


def test_restarted_service_still_knows_tag_and_key(served: Served) -> None:
    """The key is made once, with the first release, and the tag is that of the last commit."""
    shield = served.shield()
    first = served.release(shield)
    envelope = commit(first, shield.signer, "a")
    index = asyncio.run(served.service.commit_tags(served.host, envelope))
    served.restart()
    second = served.release()

    assert (first.volumes[0].tag, digest("a")) == (None, second.volumes[0].tag)
    assert first.volumes[0].key == second.volumes[0].key
    assert first.volumes[0].key != bytes(32)
    assert index == asyncio.run(served.service.commit_tags(served.host, envelope))
    with pytest.raises(TagWriterError):
        asyncio.run(served.service.commit_tags(served.host, commit(first, shield.signer, "b")))


def test_key_of_a_volume_is_in_no_entry(served: Served) -> None:
    """The log says which volume; what opens it only the sealed grant says."""
    key = served.release().volumes[0].key
    entries = asyncio.run(served.host.entries(0, served.host.durable_size))

    assert not any(key in entry for entry in entries)
    assert served.statements("release")[0]["volumes"][0].keys() == {"volume", "volume_id"}


def test_next_version_of_the_policy_has_the_same_volume(served: Served) -> None:
    """It is the policy's, not the version's."""
    first = served.release()
    current: Policy = served.host.machine.board.policy("job")  # type: ignore[assignment]
    served.enact(
        served.policy(
            volumes={"state": {}},
            train={"volumes": [STATE], "command": ["false"]},
            predecessor=current.digest,
        )
    )

    # Strict by now, and the run before has not closed it.
    with pytest.raises(UncleanVolumeError):
        served.ask(served.request(served.shield()))
    assert first.volumes[0].volume_id == served.host.machine.board.tags["job/state"].volume_id


def test_commit_over_http(served: Served) -> None:
    """A shield's session takes commits to the service, which takes nothing else there."""
    shield = served.shield()
    grant = served.release(shield)
    run: Any = sign_statement("run", {"x": 1}, [shield.signer])
    with served.over_http() as url, TrustSession.open(url, served.board) as session:
        index = session.commit_tag(commit(grant, shield.signer, "a", "b"))
        assert index == session.commit_tag(commit(grant, shield.signer, "a", "b"))
        with pytest.raises(TagMismatchError):
            session.commit_tag(commit(grant, shield.signer, "c"))
        with pytest.raises(UnsupportedFormatError):
            session.commit_tag(run)

    assert digest("b") == served.host.machine.board.tags["job/state"].tag


# --- the shield ------------------------------------------------------------------------------


def test_shield_refuses_what_it_cannot_mount(served: Served) -> None:
    """Better no run than one that writes where nothing protects it."""
    grant = served.release()
    job: Any = type("Job", (), {"board": grant.board, "service": grant.service_name})

    with pytest.raises(LiveVolumesError):
        _check(grant, job, None)
    with pytest.raises(LiveVolumesError):
        _check(replace(grant, service=replace(grant.service, volumes=())), job, None)
