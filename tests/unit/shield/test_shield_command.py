# SPDX-License-Identifier: Apache-2.0
"""`accord shield run`: second factors come from files, never from the command line."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from accord.cli import _shield
from accord.cli._shield import _read_factors, group
from accord.errors import AccordError, CommandLineError, FileAccessError, MalformedError
from accord.policy import Channel
from accord.shield import Job

TOKEN = bytes(range(32))


def given(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_factors_are_read_from_files(tmp_path: Path) -> None:
    """A line break at the end is no part of them."""
    token = given(tmp_path, "token", TOKEN.hex().encode() + b"\n")
    otp = given(tmp_path, "otp", b" 492039\n")
    assert _read_factors(token, otp) == (TOKEN, "492039")
    assert _read_factors(None, None) == (None, None)


def test_one_factor_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it need not be a file at all."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"492039\n")))
    assert _read_factors(None, Path("-")) == (None, "492039")
    with pytest.raises(CommandLineError, match="cannot both be -"):
        _read_factors(Path("-"), Path("-"))


@pytest.mark.parametrize(
    ("token", "otp"),
    [
        pytest.param(TOKEN.hex()[2:].encode(), None, id="short-token"),
        pytest.param(b"canary" * 8, None, id="token-of-no-digits"),
        pytest.param(b"canary\xff", None, id="token-of-no-text"),
        pytest.param(b"canary\ncanary", None, id="two-lines"),
        pytest.param(None, b"canary" * 3, id="long-password"),
        pytest.param(None, b"\n", id="no-password"),
        pytest.param(None, b"canary\x1b[2J", id="password-with-escape"),
    ],
)
def test_malformed_factor_is_refused_and_not_quoted(
    tmp_path: Path, token: bytes | None, otp: bytes | None
) -> None:
    """Somebody may have named the wrong file, with another secret in it."""
    first = None if token is None else given(tmp_path, "token", token)
    second = None if otp is None else given(tmp_path, "otp", otp)
    with pytest.raises(MalformedError) as caught:
        _read_factors(first, second)
    assert "canary" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """Its path is on the command line anyway."""
    with pytest.raises(FileAccessError, match="token"):
        _read_factors(tmp_path / "token", None)


def test_command_passes_everything_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the job, which shows neither factor."""
    jobs: list[Job] = []

    def launch(job: Job, *_: object, **__: object) -> None:
        jobs.append(job)
        raise CommandLineError(detail="that is far enough")

    class Platform:
        @classmethod
        def load(cls, _: Path) -> Platform:
            return cls()

        def attester(self, _: object) -> None:
            return None

    monkeypatch.setattr("accord.shield.launch", launch)
    monkeypatch.setattr("accord.testing.SimulatedPlatform", Platform)
    arguments = [
        *("run", "--service-url", "https://trust.example", "--board", "sha256:" + "0" * 64),
        *("--policy", "p", "--service", "s", "--storage", str(tmp_path)),
        *("--simulated", str(tmp_path), "--channel", "L1", "--otp-file", "-"),
        *("--token-file", str(given(tmp_path, "token", TOKEN.hex().encode()))),
    ]
    result = CliRunner().invoke(group, arguments, input="492039\n")
    assert isinstance(result.exception, AccordError)
    (job,) = jobs
    assert (job.token, job.otp, job.channel) == (TOKEN, "492039", Channel.L1)
    assert "492039" not in repr(job)


def test_no_option_takes_a_factor_itself() -> None:
    """Every user of the machine can read a command line."""
    names = {name for option in _shield.run.params for name in option.opts}
    assert {name for name in names if "token" in name or "otp" in name} == {
        "--token-file",
        "--otp-file",
    }
