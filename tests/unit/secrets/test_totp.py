# SPDX-License-Identifier: Apache-2.0
"""One-time passwords: the vectors of the RFC, one use each."""

from datetime import UTC, datetime, timedelta

import pytest

from accord.errors import OneTimePasswordError, OneTimePasswordUsedError, SecretValueError
from accord.secrets import totp_step

SECRET = b"12345678901234567890"


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_of_the_rfc_are_taken(seconds: int, code: str) -> None:
    """RFC 6238, appendix B, the last six of its eight digits."""
    assert totp_step(SECRET, code, at(seconds), last_step=None) == seconds // 30


@pytest.mark.parametrize("offset", [-30, 0, 30])
def test_a_neighbouring_step_is_taken_as_that_step(offset: int) -> None:
    """A clock that is off by less than one."""
    now = at(1111111111 + offset)
    assert totp_step(SECRET, "050471", now, last_step=None) == 1111111111 // 30


@pytest.mark.parametrize("offset", [-60, 60, 3600])
def test_an_older_or_later_code_is_refused(offset: int) -> None:
    """The window is one step to each side."""
    with pytest.raises(OneTimePasswordError):
        totp_step(SECRET, "050471", at(1111111111 + offset), last_step=None)


@pytest.mark.parametrize(
    "code", ["", "05047", "0504711", "050472", "\u0660\u0665\u0660\u0664\u0667\u0661", "\ud800"]
)
def test_anything_else_is_refused(code: str) -> None:
    """Digits of other scripts are other characters."""
    with pytest.raises(OneTimePasswordError):
        totp_step(SECRET, code, at(1111111111), last_step=None)


def test_a_code_is_good_once() -> None:
    """Replayed within its window, or older than the last one used."""
    now = at(1111111111)
    step = totp_step(SECRET, "050471", now, last_step=None)
    for last in (step, step + 1):
        with pytest.raises(OneTimePasswordUsedError):
            totp_step(SECRET, "050471", now + timedelta(seconds=5), last_step=last)
    assert totp_step(SECRET, "050471", now, last_step=step - 1) == step


def test_the_first_step_of_all_has_none_before_it() -> None:
    """No negative step is ever computed."""
    assert totp_step(SECRET, "755224", at(0), last_step=None) == 0


def test_a_short_secret_is_refused() -> None:
    """It could be guessed from a few codes."""
    with pytest.raises(SecretValueError):
        totp_step(SECRET[:15], "755224", at(0), last_step=None)
