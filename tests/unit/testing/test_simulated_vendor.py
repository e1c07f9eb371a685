# SPDX-License-Identifier: Apache-2.0
"""The simulated vendor: one folder, never replaced, collateral that does not run out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from accord.encoding import Fields, canonical_json, parse_json
from accord.errors import IdentityExposedError, SimulatorStateError
from accord.evidence import RootKind, root_kind
from accord.testing import SimulatedPlatform, SimulatedVendor
from accord.testing._files import write_once

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    SimulatedVendor.create(tmp_path / "vendor", now=NOW)
    return tmp_path / "vendor"


def test_creating_twice_keeps_the_first(home: Path) -> None:
    """A second creation loads what is there: same root, same collateral."""
    first = SimulatedVendor.load(home, now=NOW)
    second = SimulatedVendor.create(home, now=NOW)

    assert first.root_digest == second.root_digest
    assert first.collateral == second.collateral


def test_of_two_writers_the_first_wins(tmp_path: Path) -> None:
    """Two processes that create at once end with one whole file and no remains."""
    write_once(tmp_path / "file", b"first")
    write_once(tmp_path / "file", b"second")

    assert (tmp_path / "file").read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_nobody_else_can_read_the_folder(home: Path) -> None:
    """Secrets are private from the first byte on, and an exposed one is refused."""
    secret = home / "vendor.secret.json"

    assert {path.stat().st_mode & 0o077 for path in (home, *home.iterdir())} == {0}
    secret.chmod(0o640)
    with pytest.raises(IdentityExposedError):
        SimulatedVendor.load(home, now=NOW)


def test_its_root_is_a_test_root(home: Path) -> None:
    """No simulated vendor can be mistaken for a real one."""
    assert root_kind(SimulatedVendor.load(home, now=NOW).root_digest) is RootKind.TEST


def test_fresh_collateral_is_kept_and_old_collateral_renewed(home: Path) -> None:
    """Loading renews collateral at half its life, so that nothing expires in use."""
    first = SimulatedVendor.load(home, now=NOW).collateral
    kept = SimulatedVendor.load(home, now=NOW + timedelta(days=14)).collateral
    renewed = SimulatedVendor.load(home, now=NOW + timedelta(days=15)).collateral

    assert first == kept
    assert first.tcb_info != renewed.tcb_info


def test_collateral_of_the_future_is_renewed(home: Path) -> None:
    """A clock that was wrong once does not leave unusable collateral behind."""
    earlier = NOW - timedelta(days=9)
    collateral = SimulatedVendor.load(home, now=earlier).collateral
    crl = x509.load_der_x509_crl(collateral.pck_crl)

    assert crl.last_update_utc <= earlier


def test_a_revocation_outlives_renewal(home: Path) -> None:
    """What was revoked stays revoked when collateral is renewed."""
    SimulatedVendor.load(home, now=NOW).revoke(7, now=NOW).revoke(9, now=NOW)
    later = SimulatedVendor.load(home, now=NOW + timedelta(days=20)).collateral
    crl = x509.load_der_x509_crl(later.pck_crl)

    assert {item.serial_number for item in crl} == {7, 9}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Loading what was never created says where it looked."""
    with pytest.raises(SimulatorStateError, match=r"vendor\.secret\.json"):
        SimulatedVendor.load(tmp_path, now=NOW)


@pytest.mark.parametrize("name", ["vendor.secret.json", "collateral.json"])
@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"schema":"other"}'])
def test_a_damaged_file_is_refused(home: Path, name: str, data: bytes) -> None:
    """Damaged state is refused with its path, and never silently replaced."""
    (home / name).write_bytes(data)
    with pytest.raises(SimulatorStateError, match=name):
        SimulatedVendor.load(home, now=NOW)


def test_a_key_of_another_kind_is_refused(home: Path) -> None:
    """An Ed25519 key cannot sign as the vendor."""
    path = home / "vendor.secret.json"
    document = parse_json(path.read_bytes(), what="vendor")
    # RFC 8410, section 10.3.
    document["root"] = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC"
    path.write_bytes(canonical_json(document))
    with pytest.raises(SimulatorStateError, match="elliptic"):
        SimulatedVendor.load(home, now=NOW)


def test_the_secret_file_holds_nothing_unknown(home: Path, tmp_path: Path) -> None:
    """A platform's file is not a vendor's."""
    SimulatedPlatform.create(tmp_path / "platform", home, now=NOW)
    (home / "vendor.secret.json").write_bytes(
        (tmp_path / "platform" / "platform.secret.json").read_bytes()
    )
    with pytest.raises(SimulatorStateError):
        SimulatedVendor.load(home, now=NOW)


def test_the_clock_is_used_where_no_moment_is_given(tmp_path: Path) -> None:
    """Without an argument, collateral is valid now."""
    collateral = SimulatedVendor.create(tmp_path).collateral
    fields = Fields(parse_json(collateral.tcb_info.encode(), what="TCB info"), "TCB info")

    assert fields.time("issueDate") <= datetime.now(UTC) < fields.time("nextUpdate")
