# SPDX-License-Identifier: Apache-2.0
"""The simulated machine: evidence that verifies, and keys that stay where they belong."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accord.errors import (
    BindingMismatchError,
    CertificateRevokedError,
    DebugRefusedError,
    SimulatorStateError,
)
from accord.evidence import Attester, Binding, Claims, Evidence, Purpose, Role, verify
from accord.testing import (
    SimulatedPlatform,
    SimulatedTDX,
    SimulatedVendor,
    measure_code,
    measure_runtime,
    simulated_measurements,
)
from accord.testing._measure import _distribution

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BINDING = Binding(Purpose.CHANNEL, Role.SHIELD, bytes(32), bytes(32), None, bytes(32))


@pytest.fixture
def platform(tmp_path: Path) -> SimulatedPlatform:
    SimulatedVendor.create(tmp_path / "vendor", now=NOW)
    return SimulatedPlatform.create(tmp_path / "platform", tmp_path / "vendor", now=NOW)


@pytest.fixture
def attester(platform: SimulatedPlatform) -> SimulatedTDX:
    return platform.attester(simulated_measurements(Role.SHIELD))


def check(platform: SimulatedPlatform, evidence: Evidence, binding: Binding = BINDING) -> Claims:
    anchors = [platform.vendor.root_digest]
    return verify(evidence, anchors=anchors, now=NOW, binding=binding)


def test_its_evidence_proves_its_measurements(
    platform: SimulatedPlatform, attester: SimulatedTDX
) -> None:
    """Evidence of a simulated environment verifies under its vendor's root."""
    attester_as_protocol: Attester = attester
    claims = check(platform, attester_as_protocol.collect(BINDING.report_data()))

    assert attester.measurements.items() <= claims.measurements.items()


def test_evidence_for_other_report_data_does_not_serve(
    platform: SimulatedPlatform, attester: SimulatedTDX
) -> None:
    """Replayed evidence is refused by its binding."""
    with pytest.raises(BindingMismatchError):
        check(platform, attester.collect(bytes(64)))


def test_a_debug_environment_is_refused(platform: SimulatedPlatform) -> None:
    """A simulated environment in debug mode shows as one."""
    attester = platform.attester(simulated_measurements(Role.SHIELD), debug=True)
    with pytest.raises(DebugRefusedError):
        check(platform, attester.collect(BINDING.report_data()))


def test_a_revoked_platform_is_refused(platform: SimulatedPlatform, tmp_path: Path) -> None:
    """After revocation, a platform's evidence with current collateral is refused."""
    platform.vendor.revoke(platform.pck_serial, now=NOW)
    again = SimulatedPlatform.load(tmp_path / "platform", now=NOW)
    attester = again.attester(simulated_measurements(Role.SHIELD))
    with pytest.raises(CertificateRevokedError):
        check(again, attester.collect(BINDING.report_data()))


def test_creating_twice_keeps_the_first(platform: SimulatedPlatform, tmp_path: Path) -> None:
    """A second creation loads the same machine."""
    again = SimulatedPlatform.create(tmp_path / "platform", tmp_path / "vendor", now=NOW)

    assert (platform.pck_chain, platform.seal_secret) == (again.pck_chain, again.seal_secret)


def test_two_platforms_of_a_vendor_differ(platform: SimulatedPlatform, tmp_path: Path) -> None:
    """Each machine has its own identity and its own sealing keys."""
    other = SimulatedPlatform.create(tmp_path / "other", tmp_path / "vendor", now=NOW)
    measurements = simulated_measurements(Role.SHIELD)
    mine, theirs = platform.attester(measurements), other.attester(measurements)
    claims = [check(platform, item.collect(BINDING.report_data())) for item in (mine, theirs)]

    assert claims[0].instance_id != claims[1].instance_id
    assert mine.seal_key("state") != theirs.seal_key("state")


def test_a_seal_key_follows_code_and_label(platform: SimulatedPlatform, tmp_path: Path) -> None:
    """The same code obtains its key again after a restart; other code does not."""
    measurements = simulated_measurements(Role.SERVICE)
    key = platform.attester(measurements).seal_key("state")
    again = SimulatedPlatform.load(tmp_path / "platform", now=NOW)
    other_code = again.attester({**measurements, "mrtd": bytes(48)})

    assert len(key) == 32
    assert key == again.attester(measurements).seal_key("state")
    assert key != again.attester(measurements).seal_key("other")
    assert key != other_code.seal_key("state")


def test_wrong_registers_are_a_bug_of_the_caller(platform: SimulatedPlatform) -> None:
    """Measurements with a register missing or of another size are refused."""
    with pytest.raises(ValueError, match="registers"):
        platform.attester({"mrtd": bytes(48)})
    with pytest.raises(ValueError, match="registers"):
        platform.attester({**simulated_measurements(Role.SHIELD), "mrtd": b""})


def test_report_data_of_another_size_are_a_bug_of_the_caller(attester: SimulatedTDX) -> None:
    """There are exactly 64 bytes of report data."""
    with pytest.raises(ValueError, match="64 bytes"):
        attester.collect(b"short")


@pytest.mark.parametrize("data", [b"{", b"{}"])
def test_a_damaged_file_is_refused(
    platform: SimulatedPlatform, tmp_path: Path, data: bytes
) -> None:
    """A damaged platform is refused with its path."""
    (tmp_path / "platform" / "platform.secret.json").write_bytes(data)
    with pytest.raises(SimulatorStateError, match=r"platform\.secret\.json"):
        SimulatedPlatform.load(tmp_path / "platform", now=NOW)


def test_no_secret_shows_when_printed(platform: SimulatedPlatform) -> None:
    """Neither platform nor vendor spells its secrets in a log or a traceback."""
    attester = platform.attester(simulated_measurements(Role.SHIELD))
    text = f"{platform!r} {platform.vendor!r} {attester!r}"

    assert repr(platform.seal_secret) not in text
    assert "PrivateKey" not in text


def test_measurements_name_code_runtime_and_role() -> None:
    """MRTD is the code, RTMR0 the runtime, MRCONFIGID the role, the rest zero."""
    shield, service = simulated_measurements(Role.SHIELD), simulated_measurements(Role.SERVICE)

    assert shield["mrtd"] == service["mrtd"] == measure_code()
    assert shield["rtmr0"] == service["rtmr0"] != measure_runtime()
    assert shield["mrconfigid"] != service["mrconfigid"]
    assert {len(value) for value in shield.values()} == {48}
    assert all(shield[name] == bytes(48) for name in ("rtmr1", "rtmr2", "rtmr3", "mrseam"))


def test_a_dependency_that_is_not_installed_is_left_out() -> None:
    """Optional dependencies are measured where they are."""
    assert _distribution("accord-no-such-distribution") is None


def test_measurements_are_the_same_in_another_process() -> None:
    """Measurements depend on files alone."""
    code = "from accord.testing import *; print((measure_code() + measure_runtime()).hex())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert printed.stdout.decode().strip() == (measure_code() + measure_runtime()).hex()


def test_the_verifier_does_not_load_the_simulator() -> None:
    """Importing accord.evidence never imports accord.testing."""
    code = "import sys, accord.evidence; sys.exit('accord.testing' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
