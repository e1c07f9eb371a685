# SPDX-License-Identifier: Apache-2.0
"""A monotonic counter in a real (software) TPM."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.counters import tpm_counter

from accord.attesters import COUNTER_INDEX
from accord.attesters._tpm_counter import _Commands
from accord.errors import CounterIndexError, TPMCommandError
from accord.testing import SoftwareTPM


def test_it_counts_by_one_and_survives_the_power(tmp_path: Path) -> None:
    """Each operation switches the TPM on and off; the value stays."""
    counter = tpm_counter(tmp_path)
    first = counter.read()
    assert counter.read() == first
    assert [counter.increment(), counter.increment()] == [first + 1, first + 2]
    assert tpm_counter(tmp_path).read() == first + 2


def test_who_does_not_know_the_password_cannot_count(tmp_path: Path) -> None:
    """Root can talk to the TPM as well as we can."""
    counter = tpm_counter(tmp_path)
    value = counter.read()
    other = tpm_counter(tmp_path, auth=bytes(32))
    with pytest.raises(CounterIndexError, match="TPM2_NV_Increment"):
        other.increment()
    with pytest.raises(CounterIndexError, match="TPM2_NV_Read"):
        other.read()
    assert counter.read() == value


def test_an_index_that_holds_data_is_no_counter(tmp_path: Path) -> None:
    """What can be written can be written back."""
    with SoftwareTPM(tmp_path) as tpm:
        tpm.tpm.nv_define(COUNTER_INDEX, 8)
        tpm.tpm.nv_write(COUNTER_INDEX, bytes(8))
    with pytest.raises(CounterIndexError, match="it is no such counter"):
        tpm_counter(tmp_path).read()


def test_a_counter_made_again_does_not_begin_lower(tmp_path: Path) -> None:
    """The TPM remembers the greatest value that any of its counters had."""
    counter = tpm_counter(tmp_path)
    counter.read()
    value = [counter.increment() for _ in range(3)][-1]
    with SoftwareTPM(tmp_path) as tpm:
        tpm.tpm.nv_undefine(COUNTER_INDEX)
    assert counter.read() > value


def test_a_counter_that_was_defined_and_never_counted_is_ours(tmp_path: Path) -> None:
    """A crash between making it and counting the first time changes nothing."""
    counter = tpm_counter(tmp_path)
    with SoftwareTPM(tmp_path) as tpm:
        _Commands(tpm.transmit).define(COUNTER_INDEX, bytes(range(32)))
    value = counter.read()
    assert counter.read() == value


def test_a_tpm_that_refuses_is_told(tmp_path: Path) -> None:
    """Another refusal than a missing index does not make one."""
    asked = []

    def transmit(command: bytes) -> bytes:
        asked.append(command)
        return bytes.fromhex("80010000000a00000101")

    with pytest.raises(TPMCommandError, match="0x101"):
        _Commands(transmit).attributes(COUNTER_INDEX)
    assert len(asked) == 1
