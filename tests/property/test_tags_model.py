# SPDX-License-Identifier: Apache-2.0
"""Live volumes against a model: one history, whoever opens, commits, crashes or accepts."""

import copy
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.board import Hardware, World, digest, replay
from tests.support.tags import Live

from accord.encoding import Digest
from accord.errors import AccordError, DuplicateStatementError, TagAcceptError, UncleanVolumeError
from accord.policy import Assurance
from accord.release import OpenedVolume, Release, machine_to_json, read_machine

NAMES = ("state", "index")
RULES = {"policy.enact": "role:result-user"}


class TagsModel(RuleBasedStateMachine):
    """The model knows for each volume its tag, who has it open, and whether it was closed."""

    ready: ClassVar[tuple[World, World]]
    """With strict volumes, and with others."""

    @initialize(strict=st.booleans())
    def begin(self, strict: bool) -> None:  # noqa: FBT001 - drawn
        self.strict = strict
        self.live = Live.__new__(Live)
        self.live.world = self.world = copy.deepcopy(self.ready[0 if strict else 1])
        self.tags: dict[str, Digest | None] = dict.fromkeys(NAMES)
        self.open: dict[str, str] = {}
        self.closed = dict.fromkeys(NAMES, True)
        self.numbers = dict.fromkeys(NAMES, 0)
        self.runs: list[Release] = []
        self.committed: list[tuple[str, Digest | None, Digest]] = []

    def opened(self) -> tuple[OpenedVolume, ...]:
        tags = self.world.machine.board.tags
        return tuple(
            OpenedVolume(
                name,
                tags[f"train/{name}"].volume_id
                if f"train/{name}" in tags
                else f"vol-{NAMES.index(name):032x}",
                self.tags[name],
            )
            for name in NAMES
        )

    @rule()
    def start(self) -> None:
        release = self.world.release_of(volumes=self.opened(), assurance=Assurance.SIMULATED)
        self.world.runs += 1
        unclean = self.strict and not all(self.closed.values())
        try:
            self.world.say("release", release.to_json(), self.world.service.signer)
        except UncleanVolumeError:
            assert unclean
            return
        assert not unclean
        self.runs.append(release)
        self.open = dict.fromkeys(NAMES, release.run)
        self.closed = dict.fromkeys(NAMES, False)
        self.numbers = dict.fromkeys(NAMES, 0)

    @precondition(lambda self: self.runs)
    @rule(
        data=st.data(),
        name=st.sampled_from(NAMES),
        new=st.sampled_from("abc"),
        closing=st.booleans(),
        skew=st.sampled_from((0, 0, 0, 0, 1, -1)),
        stale=st.booleans(),
    )
    def commit(
        self, data: Any, name: str, new: str, *, closing: bool, skew: int, stale: bool
    ) -> None:
        run = data.draw(st.sampled_from(self.runs[-3:]))
        known = [None, *map(digest, "abc")]
        old = data.draw(st.sampled_from(known)) if stale else self.tags[name]
        number = max(self.numbers[name] + 1 + skew, 1)
        update = self.live.update(new, volume=name, number=number, closing=closing)
        update = type(update)(name, number, old, update.new, closing)
        fits = (
            self.open[name] == run.run
            and not self.closed[name]
            and old == self.tags[name]
            and number == self.numbers[name] + 1
        )
        try:
            self.live.commit(run, update)
        except AccordError:
            assert not fits
            return
        assert fits
        self.committed.append((name, old, update.new))
        self.tags[name], self.closed[name] = update.new, closing
        self.numbers[name] = number

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), name=st.sampled_from(NAMES), tag=st.sampled_from((None, "a", "z")))
    def accept(self, data: Any, name: str, tag: str | None) -> None:
        run = data.draw(st.sampled_from(self.runs[-3:]))
        accepted = None if tag is None else digest(tag)
        fits = self.open[name] == run.run and not self.closed[name]
        try:
            self.live.accept(run, accepted, volume=name)
        except TagAcceptError:
            assert not fits
            return
        except DuplicateStatementError:  # the very same proposal, once more
            return
        assert fits
        self.tags[name], self.closed[name] = accepted, True

    @invariant()
    def state_is_that_of_the_model(self) -> None:
        if not self.runs:
            return
        for name in NAMES:
            record = self.live.record(name)
            assert (self.tags[name], self.open[name]) == (record.tag, record.run)
            assert (self.closed[name], self.numbers[name]) == (record.clean, record.number)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            machine = self.world.machine
            assert machine == replay(self.world.log)
            assert machine == read_machine(machine_to_json(machine))


def test_tags_have_one_history(tmp_path: Path) -> None:
    """Crashes, restarts, clones of runs and votes in any order: the log and the model agree."""
    hardware = Hardware.make(tmp_path)
    TagsModel.ready = (
        _ready(hardware, strict=True),
        _ready(hardware, strict=False),
    )
    TagsModel.TestCase.settings = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    TagsModel.TestCase("runTest").runTest()


def _ready(hardware: Hardware, *, strict: bool) -> World:
    mode = "protected" if strict else "unprotected"
    world = Live(hardware, update=mode, names=NAMES, inputs=[], constitution=RULES).world
    assert world.machine.board.policy("train") is not None
    return world
