# SPDX-License-Identifier: Apache-2.0
"""`accord attest verify --ear` and `accord attest result`: results as signed tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import ASKED, Collected, Command

from accord.evidence.intel import parse_tdx


@pytest.fixture
def policies(collected: dict[str, Collected], tmp_path: Path) -> tuple[Path, Path]:
    """One that admits the simulated TD, and one that refuses it."""
    mrtd = parse_tdx(collected["tdx"].evidence).report.mrtd  # type: ignore[union-attr]
    found = {"family": "tdx", "measurements": {"mrtd": [mrtd.hex()]}}
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(found | {"simulated": True}))
    bad.write_text(json.dumps(found | {"simulated": False}))
    return good, bad


@pytest.fixture
def home(command: Command, tmp_path: Path) -> Path:
    """The verifier's identity."""
    assert command("member", "new", "verifier", "--home", tmp_path / "verifier").exit_code == 0
    return tmp_path / "verifier"


@pytest.mark.parametrize("form", ["jwt", "cwt"])
def test_a_signed_result_is_checked_by_others(
    command: Command,
    collected: dict[str, Collected],
    policies: tuple[Path, Path],
    home: Path,
    form: str,
) -> None:
    """Admitted 0, refused 1; by the home or by its public file alone."""
    given, token = collected["tdx"], home / "token"
    verify = ("attest", "verify", given.path, *given.anchors, "--report-data", ASKED)
    sign = ("--ear", token, "--ear-format", form, "--key", home)
    check = ("attest", "result", token, "--nonce", ASKED, "--key")
    for policy, code, status in zip(policies, (0, 1), ("warning", "contraindicated"), strict=True):
        assert command(*verify, "--policy", policy, *sign).exit_code == code
        for key in (home, home / "identity.json"):
            found = command(*check, key, "--json")
            assert (found.exit_code, found.document["status"]) == (code, status)
    text = command(*check, home)
    assert "✓ made for the nonce given" in text.stderr
    assert "status      contraindicated" in text.stdout
    assert "! NONCE NOT CHECKED" in command("attest", "result", token, "--key", home).stderr


@pytest.mark.parametrize("form", ["jwt", "cwt"])
def test_a_result_of_somebody_else_or_another_time_is_refused(
    command: Command,
    collected: dict[str, Collected],
    policies: tuple[Path, Path],
    home: Path,
    form: str,
) -> None:
    """Another key, nonce or moment, or changed bytes: exit code 3."""
    given, token = collected["tdx"], home / "token"
    verify = ("attest", "verify", given.path, *given.anchors, "--report-data", ASKED)
    sign = ("--policy", policies[0], "--ear", token, "--ear-format", form, "--key", home)
    assert command(*verify, *sign).exit_code == 0
    other = home / "other"
    assert command("member", "new", "verifier", "--home", other).exit_code == 0
    check = ("attest", "result", token, "--key")

    assert command(*check, other).exit_code == 3
    assert command(*check, home, "--nonce", "00" * 64).exit_code == 3
    assert command(*check, home, "--now", "2099-01-01T00:00:00Z").exit_code == 3
    for wrong in ("zz", "00"):
        assert command(*check, home, "--nonce", wrong).exit_code == 2
    data = bytearray(token.read_bytes())
    data[-1] ^= 1
    for changed in (bytes(data), b"", b"\xff\xff", b"a.b.c"):
        token.write_bytes(changed)
        assert command(*check, home).exit_code == 3


def test_a_token_needs_a_policy_and_a_key(
    command: Command, collected: dict[str, Collected], policies: tuple[Path, Path], home: Path
) -> None:
    """Nothing is signed that nobody judged."""
    given = collected["tdx"]
    verify = ("attest", "verify", given.path, *given.anchors)
    for options in (
        ("--ear", "t", "--key", home),
        ("--ear", "t", "--policy", policies[0]),
        ("--key", home, "--policy", policies[0]),
    ):
        assert command(*verify, *options).exit_code == 2
