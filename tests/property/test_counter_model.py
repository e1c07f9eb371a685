# SPDX-License-Identifier: Apache-2.0
"""Lives of a store under an operator who copies, kills and puts back: only the latest is open."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.counters import MemoryCounter

from accord.service._counter import Lives, Standing


@dataclass
class Disk:
    """As much of a store as lives need: settings, and what happened to it so far."""

    settings: dict[str, bytes] = field(default_factory=dict)
    history: tuple[int, ...] = ()

    def setting(self, name: str) -> bytes | None:
        return self.settings.get(name)

    def set_setting(self, name: str, value: bytes) -> None:
        self.settings[name] = value

    def boards(self) -> list[str]:
        return ["a board"] if self.history else []

    def copy(self) -> Disk:
        return Disk(dict(self.settings), self.history)


class Trusting(Lives):
    """A wrong one: it takes an unclean end for a crash, as a convenient service would."""

    def allows(self, *, witnessed: bool) -> bool:
        del witnessed
        return self.standing is not Standing.REFUSED


class Careless(Lives):
    """A wrong one: every orderly end makes its store the latest."""

    def end(self, *, fresh: bool) -> None:
        del fresh
        self._keep()


class Operator(RuleBasedStateMachine):
    """One counter, one disk, its copies; several services may run at the same time."""

    lives: type[Lives] = Lives

    def __init__(self) -> None:
        super().__init__()
        self.counter = MemoryCounter()
        self.disk, self.copies = Disk(), list[Disk]()
        self.running: list[tuple[Disk, Lives]] = []
        self.latest: tuple[int, ...] = ()
        self.clock = 0

    def _change(self, disk: Disk, life: Lives) -> None:
        if life.allows(witnessed=False):
            assert disk.history == self.latest, "something was released on an older copy"
            self.clock += 1
            disk.history = self.latest = (*disk.history, self.clock)

    @rule()
    @precondition(lambda self: len(self.running) < 3)
    def start(self) -> None:
        disk = self.disk.copy() if self.running else self.disk
        self.running.append((disk, self.lives(disk, self.counter)))  # type: ignore[arg-type]

    @rule(data=st.data())
    @precondition(lambda self: self.running)
    def change(self, data: st.DataObject) -> None:
        self._change(*data.draw(st.sampled_from(self.running)))

    @rule(data=st.data(), orderly=st.booleans())
    @precondition(lambda self: self.running)
    def stop(self, data: st.DataObject, orderly: bool) -> None:  # noqa: FBT001
        number = data.draw(st.integers(0, len(self.running) - 1))
        disk, life = self.running.pop(number)
        if orderly:
            life.end(fresh=False)
        self.copies.append(disk.copy())
        self.disk = disk

    @rule(data=st.data())
    @precondition(lambda self: self.copies)
    def put_back(self, data: st.DataObject) -> None:
        self.disk = data.draw(st.sampled_from(self.copies)).copy()

    @rule()
    @precondition(lambda self: self.disk.settings)
    def keep(self) -> None:
        """An empty disk is another service, with other keys: not an older copy of this one."""
        self.copies.append(self.disk.copy())

    @rule(data=st.data())
    @precondition(lambda self: self.running)
    def accept(self, data: st.DataObject) -> None:
        """The owner looks, and accepts what is the latest alone."""
        disk, life = data.draw(st.sampled_from(self.running))
        others = any(
            other is not life and other.allows(witnessed=False) for _, other in self.running
        )
        if disk.history == self.latest and not others:
            life.accept(self.counter.value)


SETTINGS = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_nothing_is_released_on_an_older_copy() -> None:
    """Whatever the operator does: what is open is the store with everything that was released."""
    run_state_machine_as_test(Operator, settings=SETTINGS)


@pytest.mark.parametrize("wrong", [Trusting, Careless])
def test_a_wrong_protocol_is_found_out(wrong: type[Lives]) -> None:
    """The model above can fail."""

    class Wrong(Operator):
        lives = wrong

    with pytest.raises(AssertionError, match="an older copy"):
        run_state_machine_as_test(
            Wrong, settings=settings(SETTINGS, max_examples=400, database=None)
        )


def test_witnesses_decide_after_an_unclean_end_and_not_after_a_rollback() -> None:
    """One step off may be a crash, for which a quorum can vouch; more is never one."""
    disk, counter = Disk(history=(1,)), MemoryCounter()
    disk.set_setting("counter", b'{"schema":"accord.counter.v1","value":39}')
    crashed = Lives(disk, counter)  # type: ignore[arg-type]
    assert (crashed.allows(witnessed=True), crashed.allows(witnessed=False)) == (True, False)
    crashed.end(fresh=True)
    assert Lives(disk, counter).standing is Standing.OPEN  # type: ignore[arg-type]
    counter.value += 5
    assert not Lives(disk, counter).allows(witnessed=True)  # type: ignore[arg-type]
