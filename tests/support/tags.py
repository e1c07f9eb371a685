# SPDX-License-Identifier: Apache-2.0
"""Live volumes of a board in memory: runs that open them, and what their shields commit."""

from __future__ import annotations

from typing import Any

from accord.board import AcceptTag, TagRecord
from accord.encoding import Digest
from accord.identity import Statement
from accord.release import Release, TagCommit, TagUpdate
from tests.support.board import (
    JSON,
    MEMBERS,
    Hardware,
    digest,
    policy_json,
    service_json,
)
from tests.support.gate import Gate

STATE = {"volume": "state", "at": "/data/state"}


def live_policy(
    *, update: str = "protected", names: tuple[str, ...] = ("state",), **service: Any
) -> JSON:
    """The training policy, whose service keeps live volumes."""
    mounts = [{"volume": name, "at": f"/data/{name}"} for name in names]
    return policy_json(
        volumes={name: {"update": update} for name in names},
        services={"train": service_json(volumes=mounts, **service)},
    )


class Live:
    """A gate in front of a service with live volumes."""

    def __init__(self, hardware: Hardware, *, document: JSON | None = None, **changes: Any) -> None:
        constitution = changes.pop("constitution", None)
        board = {} if constitution is None else {"constitution": constitution}
        self.gate = Gate(hardware, document or live_policy(**changes), **board)
        self.world = self.gate.world

    def record(self, volume: str = "state") -> TagRecord:
        return self.world.machine.board.tags[f"train/{volume}"]

    def update(
        self,
        new: str,
        *,
        volume: str = "state",
        old: Digest | None = None,
        number: int | None = None,
        closing: bool = False,
    ) -> TagUpdate:
        """The next one in order, unless told otherwise."""
        record = self.record(volume)
        return TagUpdate(
            volume,
            record.number + 1 if number is None else number,
            record.tag if old is None else old,
            digest(new),
            closing,
        )

    def commit(self, run: Release, *updates: TagUpdate, by: str = "shield") -> Statement:
        body = TagCommit(self.world.board, run.run, updates).to_json()
        return self.world.say("tag-commit", body, by)

    def accepting(self, run: Release, tag: Digest | None, *, volume: str = "state") -> Digest:
        """A proposal to go on from ``tag``."""
        record = self.world.machine.board.tags.get(f"train/{volume}")
        number = 0 if record is None else record.number
        return self.world.propose(actions=(AcceptTag("train", volume, run.run, number, tag),))

    def accept(self, run: Release, tag: Digest | None, *, volume: str = "state") -> None:
        proposal = self.accepting(run, tag, volume=volume)
        for member in MEMBERS:
            self.world.vote(member, proposal)
        self.world.enact(proposal)
