# SPDX-License-Identifier: Apache-2.0
"""A trust service that its members voted out goes on; and one whose passwords are guessed.

The attacker owns the host of the old service, its store, and its keys.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.attack.test_review_release import Machines, Scene, machines
from tests.support.board import CONSTITUTION, OTHER_MRTD, World, digest, policy_json, variant_json
from tests.support.live import Hardware, make_service, reference, running_app
from tests.support.served import BOTH, Served
from tests.unit.service.test_releases import totp

from accord.board import Proposal, ReplaceService
from accord.bundle import BundleFiles, verify_bundle
from accord.client import MemberHome
from accord.encoding import Digest, Fields
from accord.errors import (
    AppraisalError,
    BundleContentError,
    NotAttestedError,
    OneTimePasswordError,
    OneTimePasswordLockedError,
    ServiceDismissedError,
)
from accord.evidence import Role
from accord.identity import sign_statement
from accord.policy import Assurance, AttestationVariant
from accord.release import Challenges, LeaseRequest, lease_binding
from accord.service import create_app

__all__ = ["machines"]  # The fixture is found by its name.

OTHER = bytes(47) + b"\1"
"""The measurement of the service that comes after."""

RULES = {**BOTH, "service.replace": "member:ann"}


@pytest.fixture
def served(hardware: Hardware, tmp_path: Path) -> Served:
    return Served(hardware, tmp_path, constitution=RULES)


def successor(served: Served) -> AttestationVariant:
    [known] = reference(served.hardware, Role.SERVICE)["attestation"]
    known = {**known, "measurements": {"mrtd": [OTHER.hex()]}}
    return AttestationVariant.from_fields(Fields(known, "variant"))


def replace_service(served: Served) -> Digest:
    """Ann proposes and approves it; the old service itself enacts it."""
    proposal = Proposal(
        board=served.board,
        author="ann",
        title="another service",
        base=served.host.machine.board.charter.digest,
        actions=(ReplaceService((successor(served),)),),
        expires=served.now().replace(microsecond=0) + timedelta(days=1),
    )
    envelope = sign_statement("proposal", proposal.to_json(), [served.identity("ann").signer])
    served.submit(envelope)
    served.vote(envelope.statement_digest, "ann")
    assert served.host.machine.board.charter.service == (successor(served),)
    return envelope.statement_digest


# --- what the old service may still do ---------------------------------------------------------


def test_service_that_was_voted_out_releases_and_renews_nothing(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """From its own enactment on; and it says so to whoever runs it."""
    served.enact(served.policy(train={"lease_s": 600}))
    shield = served.shield()
    run = served.release(shield).run
    replace_service(served)

    assert ServiceDismissedError.code in caplog.text
    with pytest.raises(ServiceDismissedError):
        served.release(shield)
    with pytest.raises(ServiceDismissedError):
        served.renew(shield, run)
    assert list(served.host.machine.runs) == [run]


def test_service_that_was_voted_out_does_not_come_back_by_a_restart(served: Served) -> None:
    """It never calls itself the board's service again, which would spoil every later proof."""
    served.enact(served.policy())
    replace_service(served)
    starts = len(served.host.machine.started)
    served.service.close()
    served.restart()

    assert len(served.host.machine.started) == starts
    with pytest.raises(ServiceDismissedError):
        served.release()


def test_stranger_is_not_told_that_a_service_was_voted_out(served: Served) -> None:
    """What is decided about it comes after the evidence, as every explanation."""
    served.enact(served.policy(train={"lease_s": 600}))
    shield = served.shield()
    run = served.release(shield).run
    replace_service(served)
    nonce = bytes(32)
    binding = lease_binding(served.board, run, shield.keyset, nonce)
    evidence = shield.attester.collect(binding.report_data())
    request = LeaseRequest.make(
        board=served.board, run=run, nonce=nonce, evidence=evidence, signer=shield.signer
    )
    with pytest.raises(NotAttestedError):
        asyncio.run(served.service.renew(served.host, request))


# --- what members say to it -------------------------------------------------------------------


@contextmanager
def home_at(served: Served, name: str) -> Iterator[MemberHome]:
    with served.over_http() as url:
        MemberHome.join(served.root / name, served.genesis, url)
        yield MemberHome.load(served.root / name)


def test_member_says_nothing_to_a_service_that_was_voted_out(served: Served) -> None:
    """The founders' conditions let it in; its own log puts it out, before anything is sealed."""
    replace_service(served)
    with (
        home_at(served, "bob") as bob,
        bob.connect() as session,
        pytest.raises(ServiceDismissedError),
    ):
        bob.read(session)
    # What was seen is kept all the same: an older log is not believed any more.
    assert (served.root / "bob" / "board.checkpoint").is_file()


def test_member_who_read_of_a_successor_attests_it(served: Served) -> None:
    """By what their home remembers; whoever only knows the genesis refuses it."""
    replace_service(served)
    with (
        home_at(served, "bob") as bob,
        bob.connect() as session,
        pytest.raises(ServiceDismissedError),
    ):
        bob.read(session)
    served.service.close()
    attester = served.hardware.attester(Role.SERVICE, mrtd=OTHER)
    service = make_service(
        attester,
        store=served.store,
        tls_spki_sha256=served.tls.spki_sha256,
        clock=served.now,
    )
    asyncio.run(service.host(served.board))
    with running_app(create_app(service), served.tls) as url:
        home = MemberHome.load(served.root / "bob", service=url)
        with home.connect() as session:
            _, machine, _ = home.read(session)
        MemberHome.join(served.root / "ann", served.genesis, url)
        with pytest.raises(AppraisalError):
            MemberHome.load(served.root / "ann", service=url).connect()

    assert machine.board.charter.service == (successor(served),)


def test_memory_of_another_board_admits_no_service(served: Served) -> None:
    """A home that was pieced together from two proves nothing by the other's charter."""
    replace_service(served)
    with (
        home_at(served, "bob") as bob,
        bob.connect() as session,
        pytest.raises(ServiceDismissedError),
    ):
        bob.read(session)
    path = served.root / "bob" / "board.service.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "board": digest("another")}))

    assert MemberHome.load(served.root / "bob").accepted == ()


# --- what a proof says ------------------------------------------------------------------------


def test_bundle_of_a_release_by_a_replaced_service_is_refused(
    machines: Machines,
    tmp_path: Path,
) -> None:
    """Its evidence was fine when it started; when it released, nobody trusted it any more."""
    scene = Scene.__new__(Scene)
    scene.machines, scene.service, scene.shield = machines, machines.simulated, machines.simulated
    scene.minimum, scene.objects = Assurance.SIMULATED, {}
    anchors = [machines.simulated.vendor.root_digest]
    rules = {**CONSTITUTION, "service.replace": "role:data-owner"}
    world = scene.world = World.founded(anchors=anchors, constitution=rules)
    scene.start(machines.simulated)
    for name in ("ann/records", "bob/records", "lab/code"):
        world.offer(name)
    world.enact_policy(policy_json())
    scene.challenges = Challenges(secrets.token_bytes)
    before = scene.release(Assurance.SIMULATED)
    world.finish(before)
    variant = AttestationVariant.from_fields(Fields(variant_json(mrtd=OTHER_MRTD), "variant"))
    proposal = world.propose(actions=(ReplaceService((variant,)),))
    for name in ("ann", "bob"):
        world.vote(name, proposal)
    world.enact(proposal)

    # What it released before stays proved.
    path = scene.bundle(before, tmp_path / "before")
    assert verify_bundle(path, genesis=world.board).record.release.run == before.run
    after = scene.release(Assurance.SIMULATED)
    world.finish(after)
    scene.refuses(after, tmp_path / "after", "by a trust service that the board had replaced")
    assert BundleFiles.read(tmp_path / "after").run == after.run
    with pytest.raises(BundleContentError):
        verify_bundle(scene.bundle(before, tmp_path / "again"), genesis=world.board)


# --- one-time passwords are guessed -----------------------------------------------------------


def test_one_time_passwords_cannot_be_guessed(served: Served) -> None:
    """After five wrong ones even the right one is refused, until the next time step."""
    secret = b"a secret of twenty b"
    served.deposit("otp", secret)
    asset = {"otp": {"kind": "asset", "asset": "ann/otp"}, "same": {"kind": "ascii"}}
    served.enact(served.policy(secrets=asset, train={"totp": "otp"}))
    # The clock of this test is inside one step, wherever the wall's stands.
    served.ahead += timedelta(seconds=30 - served.now().timestamp() % 30 + 2)
    good = totp(secret, served.host.now().timestamp())
    wrong = str((int(good) + 500_000) % 1_000_000).zfill(6)
    for _ in range(5):
        with pytest.raises(OneTimePasswordError):
            served.release(otp=wrong)
    with pytest.raises(OneTimePasswordLockedError) as refused:
        served.release(otp=good)

    assert refused.value.refusal is not None
    served.ahead += timedelta(seconds=30)
    served.release(otp=totp(secret, served.host.now().timestamp()))
