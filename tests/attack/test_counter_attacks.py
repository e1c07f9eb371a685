# SPDX-License-Identifier: Apache-2.0
"""The operator starts older copies of the trust service's disk; a TPM's counter is there too."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.counters import MemoryCounter, tpm_counter
from tests.support.live import OWNER, Hardware, store_key
from tests.support.served import Served

from accord.attesters import COUNTER_INDEX
from accord.client import ServiceConfig
from accord.errors import (
    ClaimInvalidError,
    CounterIndexError,
    CounterNeededError,
    CounterSealedError,
    StoreIntegrityError,
)
from accord.identity import KeySigner, sign_statement
from accord.service import MonotonicCounter, SQLiteStore
from accord.testing import SoftwareTPM


class Disk:
    """One machine's disk with a served board, which its operator copies and puts back."""

    def __init__(self, folder: Path, hardware: Hardware, counter: MonotonicCounter) -> None:
        self.folder, self.copies = folder / "disk", folder / "copies"
        self.folder.mkdir()
        (folder / "members").mkdir()
        self.hardware, self.counter = hardware, counter
        store = self.open()
        self.served = Served(hardware, folder / "members", store=store, counter=counter)  # type: ignore[arg-type]
        self.served.enact(self.served.policy())

    def open(self) -> SQLiteStore:
        self.store = SQLiteStore(self.folder / "state.db", store_key(self.hardware))
        return self.store

    def end(self) -> None:
        """An orderly end."""
        self.served.service.close()
        self.store.close()

    def kill(self) -> None:
        """Nothing more is written, as after kill -9: the open files are left to themselves."""
        self.keep("killed")
        self.store.close()
        self.put_back("killed")

    def keep(self, name: str) -> None:
        shutil.copytree(self.folder, self.copies / name)

    def put_back(self, name: str) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.copies / name, self.folder)

    def start(self) -> None:
        self.served.store = self.open()  # type: ignore[assignment]
        self.served.restart()

    def accept(self, value: int, *, signer: KeySigner = OWNER) -> None:
        """The owner's word that the store is the latest."""
        service = self.served.service
        now = service.config
        wish = ServiceConfig(
            service.keyset.verify_key.key_id,
            now.sequence + 1,
            now.founding,
            now.max_boards,
            now.requests_per_s,
            value,
        )
        envelope = sign_statement("service-config", wish.to_json(), [signer])
        asyncio.run(service.configure(envelope))


@pytest.fixture
def counter() -> MemoryCounter:
    return MemoryCounter()


@pytest.fixture
def disk(tmp_path: Path, hardware: Hardware, counter: MemoryCounter) -> Iterator[Disk]:
    disk = Disk(tmp_path, hardware, counter)
    yield disk
    disk.store.close()


def test_each_life_counts_once_and_goes_on(disk: Disk, counter: MemoryCounter) -> None:
    """Two operations for a life: one increment, one write; none for a release."""
    assert counter.increments == 1
    for lives in (2, 3, 4):
        disk.end()
        disk.start()
        for _ in range(3):
            disk.served.release()
        assert counter.increments == lives
        assert disk.served.service.counter == {
            "standing": "open",
            "value": counter.value,
            "expected": counter.value - 1,
        }


def test_an_older_copy_releases_nothing(disk: Disk) -> None:
    """The disk of an earlier life is put back, in order: its uses would begin again."""
    disk.end()
    disk.keep("old")
    disk.start()
    disk.served.release()
    disk.end()
    disk.put_back("old")
    disk.start()
    with pytest.raises(CounterSealedError):
        disk.served.release()
    assert disk.served.host.freshness == "sealed"
    assert disk.served.service.counter["standing"] == "unclean"


def test_a_much_older_copy_is_refused(disk: Disk, counter: MemoryCounter) -> None:
    """More than one life is missing: not even witnesses are asked."""
    disk.end()
    disk.keep("old")
    for _ in range(2):
        disk.start()
        disk.end()
    disk.put_back("old")
    disk.start()
    assert disk.served.service.counter == {
        "standing": "refused",
        "value": counter.value,
        "expected": counter.value - 2,
    }
    with pytest.raises(CounterSealedError):
        disk.served.release()


def test_a_killed_service_is_sealed_until_its_owner_looked(
    disk: Disk, counter: MemoryCounter
) -> None:
    """The disk after a kill could be an older one: on a board without witnesses nobody knows."""
    disk.served.release()
    disk.kill()
    disk.start()
    with pytest.raises(CounterSealedError):
        disk.served.release()
    disk.accept(counter.value - 1)
    with pytest.raises(CounterSealedError):
        disk.served.release()
    disk.accept(counter.value)
    disk.served.release()
    disk.end()
    disk.start()
    disk.served.release()


def test_restarting_does_not_make_an_unclean_store_the_latest(disk: Disk) -> None:
    """An orderly end of a sealed life writes nothing that would open the next one."""
    disk.kill()
    for _ in range(3):
        disk.start()
        disk.end()
    disk.start()
    with pytest.raises(CounterSealedError):
        disk.served.release()


def test_only_the_owner_accepts_a_store(disk: Disk, counter: MemoryCounter) -> None:
    """The operator has no say in what is the latest."""
    disk.kill()
    disk.start()
    with pytest.raises(ClaimInvalidError):
        disk.accept(counter.value, signer=disk.served.identity("bob").signer)
    with pytest.raises(CounterSealedError):
        disk.served.release()


def test_an_accepted_store_is_not_accepted_twice(disk: Disk, counter: MemoryCounter) -> None:
    """A copy from just after the owner's word is as old as any other."""
    disk.kill()
    disk.start()
    disk.accept(counter.value)
    disk.keep("accepted")
    disk.served.release()
    disk.end()
    disk.put_back("accepted")
    disk.start()
    with pytest.raises(CounterSealedError):
        disk.served.release()


def test_two_copies_at_the_same_time(disk: Disk, counter: MemoryCounter) -> None:
    """Of two that read the same value before either counted, the second finds one too many."""
    disk.end()
    disk.keep("clone")

    class Racing(MemoryCounter):
        def increment(self) -> int:
            counter.increment()  # the clone was faster
            return counter.increment()

        def read(self) -> int:
            return counter.value

    disk.served.counter = Racing()
    disk.start()
    assert disk.served.service.counter["standing"] == "refused"
    with pytest.raises(CounterSealedError):
        disk.served.release()


def test_the_counter_cannot_be_left_out(disk: Disk) -> None:
    """Who starts the service chooses its options; this one is not theirs any more."""
    disk.end()
    disk.served.counter = None
    with pytest.raises(CounterNeededError):
        disk.start()


def test_a_store_that_had_no_counter_is_not_trusted_for_having_one_now(
    tmp_path: Path, hardware: Hardware, counter: MemoryCounter
) -> None:
    """A copy from before the counter came is an older copy, too: the owner must accept it."""
    disk = Disk(tmp_path, hardware, None)  # type: ignore[arg-type]
    disk.end()
    disk.served.counter = counter
    disk.start()
    with pytest.raises(CounterSealedError):
        disk.served.release()
    disk.accept(counter.value)
    disk.served.release()
    disk.end()
    disk.store.close()


def test_an_older_board_beside_a_newer_counter_record(disk: Disk) -> None:
    """A store is one whole: rows of different ages do not open, whatever the counter says."""
    disk.end()
    disk.keep("old")
    disk.start()
    disk.served.release()
    disk.end()
    with sqlite3.connect(disk.folder / "state.db") as base:
        base.execute("ATTACH ? AS old", (str(disk.copies / "old" / "state.db"),))
        base.execute("DELETE FROM main.setting")
        base.execute("INSERT INTO main.setting SELECT * FROM old.setting")
    base.close()
    with pytest.raises(StoreIntegrityError):
        disk.start()


def test_with_a_real_tpm(tmp_path: Path, hardware: Hardware) -> None:
    """A software TPM: lives follow each other, an older disk is sealed, a deleted index refused."""
    tpm = tmp_path / "tpm"
    disk = Disk(tmp_path, hardware, tpm_counter(tpm))
    disk.end()
    disk.keep("old")
    disk.start()
    disk.served.release()
    disk.end()
    disk.put_back("old")
    disk.start()
    with pytest.raises(CounterSealedError):
        disk.served.release()
    disk.store.close()
    with SoftwareTPM(tpm) as chip:
        chip.tpm.nv_undefine(COUNTER_INDEX)
    disk.start()
    assert disk.served.service.counter["standing"] == "refused"
    disk.store.close()
    disk.served.counter = tpm_counter(tpm, auth=bytes(32))
    with pytest.raises(CounterIndexError):
        disk.start()
    disk.store.close()
