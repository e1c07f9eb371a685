# SPDX-License-Identifier: Apache-2.0
"""Outputs and bundles of the finished demo, fetched again from copies of its parts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import FinishedDemo
from tests.support.live import Hardware, ServiceProcess

from accord.bundle import verify_bundle
from accord.client import MemberHome
from accord.encoding import Digest
from accord.errors import NoSuchRunError, OutputUnavailableError, SealedMessageError, VolumeError
from accord.jobs import create_bundle, fetch_output
from accord.release import Machine

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folder(demo: FinishedDemo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(demo.folder, tmp_path_factory.mktemp("copy") / "demo"))


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[ServiceProcess]:
    """The demo's trust service, started again on a copy of its state."""
    hardware = Hardware(folder / "simulated-hardware")
    running = ServiceProcess(hardware, folder / "restarted", claims=False)
    shutil.copytree(folder / "operator" / "trust-service", running.state)
    yield running.start()
    running.stop()


def machine_of(folder: Path, service: ServiceProcess, name: str) -> tuple[MemberHome, Machine]:
    member = MemberHome.load(folder / name, service=service.url)
    with member.connect() as session:
        _, machine, _ = member.read(session)
    return member, machine


def test_the_reader_gets_the_model_again(
    demo: FinishedDemo, folder: Path, service: ServiceProcess, tmp_path: Path
) -> None:
    """The clinic decrypts the model from the operator's storage, as often as it likes."""
    member, machine = machine_of(folder, service, "clinic")
    run = demo.result["run"]
    storage = folder / "operator" / "storage"
    fetch_output(member, machine, run=run, output="model", storage=storage, to=tmp_path / "m")

    (known,) = (folder / "clinic").glob("model-*/model.npz")
    assert (tmp_path / "m" / "model.npz").read_bytes() == known.read_bytes()


@pytest.mark.parametrize("name", ["hospital-a", "hospital-b", "lab"])
def test_nobody_else_gets_the_model(
    demo: FinishedDemo, folder: Path, service: ServiceProcess, tmp_path: Path, name: str
) -> None:
    """Owners and lab cannot open the model, also with the clinic's sealed key in hand."""
    member, machine = machine_of(folder, service, name)
    run, storage = demo.result["run"], folder / "operator" / "storage"
    wanted = {"run": run, "output": "model", "storage": storage, "to": tmp_path / "m"}
    with pytest.raises(OutputUnavailableError):
        fetch_output(member, machine, **wanted)
    clinic = MemberHome.load(folder / "clinic")
    thief = MemberHome(
        type(member.identity)(
            member.identity.home,
            clinic.identity.public,
            member.identity.signer,
            member.identity.seal_private_key,
        ),
        member.genesis,
        member.service,
    )
    with pytest.raises(SealedMessageError):
        fetch_output(thief, machine, **wanted)
    assert not (tmp_path / "m").exists()


def test_what_is_not_there_is_not_fetched(
    demo: FinishedDemo, folder: Path, service: ServiceProcess, tmp_path: Path
) -> None:
    """Unknown runs, unknown outputs and lost volumes are refusals."""
    member, machine = machine_of(folder, service, "clinic")
    storage, to, run = folder / "operator" / "storage", tmp_path / "m", demo.result["run"]
    with pytest.raises(NoSuchRunError):
        fetch_output(member, machine, run="run-" + 32 * "0", output="model", storage=storage, to=to)
    with pytest.raises(OutputUnavailableError):
        fetch_output(member, machine, run=run, output="other", storage=storage, to=to)
    with pytest.raises(VolumeError):
        fetch_output(member, machine, run=run, output="model", storage=tmp_path, to=to)


def test_a_later_bundle_of_the_same_run_verifies_too(
    demo: FinishedDemo, folder: Path, service: ServiceProcess, tmp_path: Path
) -> None:
    """Any member can make the bundle, at any later time, over the longer log."""
    member = MemberHome.load(folder / "hospital-b", service=service.url)
    done: list[int] = []
    with member.connect() as session:
        create_bundle(
            member,
            session,
            run=demo.result["run"],
            path=tmp_path / "bundle",
            progress=done.append,
        )
        with pytest.raises(NoSuchRunError):
            create_bundle(member, session, run="run-" + 32 * "0", path=tmp_path / "bundle")
    report = verify_bundle(tmp_path / "bundle", genesis=Digest(demo.board))

    assert report.entries > verify_bundle(demo.bundle).entries
    assert done[-1] == len(done) >= 3
