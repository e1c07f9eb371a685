# SPDX-License-Identifier: Apache-2.0
"""The simulated machine: one folder, private, never replaced, refused when damaged."""

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from accord.encoding import canonical_json, parse_json
from accord.errors import IdentityExposedError, SimulatorStateError
from accord.evidence import verify_unbound
from accord.testing import SimulatedSNP

SECRET = "snp.secret.json"


@pytest.fixture
def home(snp_home: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(snp_home, tmp_path / "snp"))


def test_creating_twice_keeps_the_first(home: Path, machine: SimulatedSNP, now: datetime) -> None:
    """A second creation loads what is there: same roots, same chip."""
    again = SimulatedSNP.create(home, now=now)

    assert (again.anchors, again.chip_seed) == (machine.anchors, machine.chip_seed)


def test_it_needs_neither_clock_nor_choices(home: Path) -> None:
    """Home and report data are enough, and the evidence verifies at the clock's moment."""
    from datetime import UTC

    machine = SimulatedSNP.create(home)
    evidence = machine.collect(bytes(64))

    claims, bound = verify_unbound(evidence, anchors=(machine.root_digest,), now=datetime.now(UTC))

    assert bound == {"report_data": bytes(64)}
    assert claims.instance_id == machine.chip_seed


def test_nobody_else_can_read_the_folder(home: Path, now: datetime) -> None:
    """Whoever reads the keys can forge evidence."""
    (home / SECRET).chmod(0o640)

    with pytest.raises(IdentityExposedError):
        SimulatedSNP.load(home, now=now)


def test_nothing_is_created_by_loading(tmp_path: Path, now: datetime) -> None:
    """A mistyped folder is an error, not a new machine."""
    with pytest.raises(SimulatorStateError):
        SimulatedSNP.load(tmp_path / "nowhere", now=now)


@pytest.mark.parametrize("damage", ["chip", "ark", "vcek", "Milan"])
def test_a_damaged_folder_is_refused(home: Path, now: datetime, damage: str) -> None:
    """Missing members and keys of another kind are said, with the file."""
    state = parse_json((home / SECRET).read_bytes(), what="state")
    assert isinstance(state, dict)
    state[damage] = state["vlek" if damage == "ark" else "ark"]
    (home / SECRET).write_bytes(canonical_json(state))

    with pytest.raises(SimulatorStateError, match=SECRET):
        SimulatedSNP.load(home, now=now)


def test_report_data_has_sixty_four_bytes(machine: SimulatedSNP) -> None:
    """Anything else is a bug of the caller."""
    with pytest.raises(ValueError, match="64 bytes"):
        machine.collect(bytes(32))


def test_evidence_is_deterministic_but_for_the_certificate(machine: SimulatedSNP) -> None:
    """Same machine, same request, same report; RSA-PSS is salted."""
    assert machine.collect(bytes(64)).blob == machine.collect(bytes(64)).blob
