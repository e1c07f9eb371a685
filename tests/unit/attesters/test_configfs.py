# SPDX-License-Identifier: Apache-2.0
"""configfs-tsm: reports of TDX, SNP and CCA guests, races, and folders left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.attesters.attributes import FakeConfigfs

from accord.attesters import ConfigfsTSM
from accord.errors import (
    EvidenceMalformedError,
    InterfaceFailedError,
    InterfaceMissingError,
    ReportRaceError,
)
from accord.evidence.amd import write_certificate_table
from accord.policy import Family

ASKED = bytes(range(64))


def collector(fake: FakeConfigfs, **options: object) -> ConfigfsTSM:
    return ConfigfsTSM(
        fake.root,
        make=fake.make,
        remove=fake.remove,
        event_log=fake.root / "no-log",
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("provider", "family"),
    [("tdx_guest", Family.TDX), ("sev_guest", Family.SNP), ("arm_cca_guest", Family.CCA)],
)
def test_the_provider_says_which_tee_it_is(tmp_path: Path, provider: str, family: Family) -> None:
    """One interface for three families; the report carries what was asked."""
    fake = FakeConfigfs(tmp_path / "tsm", provider=provider)
    evidence = collector(fake).collect(ASKED)

    assert family is evidence.family
    assert evidence.blob == b"report of " + ASKED
    assert fake.written == [("inblob", ASKED)]


def test_no_folder_stays_behind(tmp_path: Path) -> None:
    """One report to ask who it is, one to collect: both are removed."""
    fake = FakeConfigfs(tmp_path / "tsm")
    collector(fake).collect(ASKED)

    assert len(fake.removed) == 2
    assert list(fake.root.iterdir()) == []


def test_a_failure_leaves_no_folder_behind(tmp_path: Path) -> None:
    """Also where the kernel refuses in the middle."""
    fake = FakeConfigfs(tmp_path / "tsm", report=lambda _: b"")
    with pytest.raises(InterfaceFailedError, match="the report is empty"):
        collector(fake).collect(ASKED)

    assert list(fake.root.iterdir()) == []


def test_a_report_that_somebody_else_wrote_to_is_asked_for_again(tmp_path: Path) -> None:
    """The generation tells; the second report is taken."""
    fake = FakeConfigfs(tmp_path / "tsm", others=1)
    evidence = collector(fake).collect(ASKED)

    assert evidence.blob == b"report of " + ASKED
    assert len(fake.written) == 2


def test_a_race_without_end_is_refused(tmp_path: Path) -> None:
    """Five attempts, then an error: never a report of somebody else's data."""
    fake = FakeConfigfs(tmp_path / "tsm", others=99)
    with pytest.raises(ReportRaceError, match="5 times"):
        collector(fake).collect(ASKED)


def test_the_privilege_level_is_written_and_counted(tmp_path: Path) -> None:
    """A write more is a generation more."""
    fake = FakeConfigfs(tmp_path / "tsm", provider="sev_guest", auxblob=b"")
    collector(fake, privlevel=2).collect(ASKED)

    assert {("privlevel", b"2"), ("inblob", ASKED)} == set(fake.written)


def test_the_hosts_certificates_become_endorsements(tmp_path: Path) -> None:
    """An SNP host hands its certificates over in the table of the extended report."""
    given = {"vcek": b"leaf", "ask": b"middle", "ark": b"root"}
    fake = FakeConfigfs(
        tmp_path / "tsm", provider="sev_guest", auxblob=write_certificate_table(given)
    )

    assert given == dict(collector(fake).collect(ASKED).endorsements)


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    """What the host wrote is not guessed at."""
    fake = FakeConfigfs(tmp_path / "tsm", provider="sev_guest", auxblob=b"x" * 40)
    with pytest.raises(EvidenceMalformedError):
        collector(fake).collect(ASKED)


def test_the_event_log_of_a_td_comes_along(tmp_path: Path) -> None:
    """Where the firmware left one."""
    fake = FakeConfigfs(tmp_path / "tsm")
    (tmp_path / "CCEL").write_bytes(b"events")
    made = ConfigfsTSM(fake.root, make=fake.make, remove=fake.remove, event_log=tmp_path / "CCEL")

    assert dict(made.collect(ASKED).aux) == {"ccel": b"events"}


def test_a_provider_that_is_not_known_is_no_tee(tmp_path: Path) -> None:
    """A new driver's report would be verified by nobody."""
    fake = FakeConfigfs(tmp_path / "tsm", provider="other_guest")
    with pytest.raises(InterfaceMissingError, match="other_guest"):
        collector(fake)


def test_a_generation_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    """Without it a race would go unseen."""
    fake = FakeConfigfs(tmp_path / "tsm", generation=b"often\n")
    with pytest.raises(InterfaceFailedError, match="generation"):
        collector(fake).collect(ASKED)


def test_a_kernel_without_configfs_has_no_interface(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(InterfaceMissingError, match="does not exist"):
        ConfigfsTSM(tmp_path / "nothing")


def test_an_attribute_that_is_missing_is_named(tmp_path: Path) -> None:
    """A plain folder is no configfs; what mkdir made is removed all the same."""
    (tmp_path / "tsm").mkdir()
    with pytest.raises(InterfaceMissingError, match=r"provider|accord-"):
        ConfigfsTSM(tmp_path / "tsm")

    assert list((tmp_path / "tsm").iterdir()) == []


def test_a_folder_that_refuses_is_a_failure(tmp_path: Path) -> None:
    """Permission is something else than absence."""

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(InterfaceFailedError, match="Permission denied"):
        ConfigfsTSM(tmp_path, make=refuse)


def test_report_data_of_another_size_is_a_bug(tmp_path: Path) -> None:
    """A caller's mistake, not the machine's."""
    fake = FakeConfigfs(tmp_path / "tsm")
    with pytest.raises(ValueError, match="64 bytes"):
        collector(fake).collect(b"short")


def test_a_generation_of_thousands_of_digits_is_a_failure(tmp_path: Path) -> None:
    """Python itself would refuse to read such a number; no more of it is shown than fits."""
    fake = FakeConfigfs(tmp_path / "tsm", generation=b"9" * 5000)
    with pytest.raises(InterfaceFailedError, match=r"its generation is b'9{64}'$"):
        collector(fake).collect(ASKED)


def test_a_folder_that_stays_is_a_failure(tmp_path: Path) -> None:
    """The kernel says that it is busy: the user hears of it, in words."""
    fake = FakeConfigfs(tmp_path / "tsm")
    asked = collector(fake)

    def busy(path: Path) -> None:
        fake.remove(path)
        raise OSError(16, "Device or resource busy")

    asked._remove = busy
    with pytest.raises(InterfaceFailedError, match="cannot be removed: Device or resource busy"):
        asked.collect(ASKED)


def test_a_folder_that_stays_does_not_hide_what_went_wrong(tmp_path: Path) -> None:
    """Of two failures the first is told."""
    fake = FakeConfigfs(tmp_path / "tsm", report=lambda _: b"")
    asked = collector(fake)

    def busy(path: Path) -> None:
        fake.remove(path)
        raise OSError(16, "Device or resource busy")

    asked._remove = busy
    with pytest.raises(InterfaceFailedError, match="the report is empty"):
        asked.collect(ASKED)
