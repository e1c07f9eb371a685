# SPDX-License-Identifier: Apache-2.0
"""Live volumes: who may open one, from which tag, and which commits move it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from accord.board import BoardState, TagRecord, tag_name
from accord.encoding import Digest, Fields, JSONValue, sha256
from accord.errors import (
    LeaseEndedError,
    MalformedError,
    TagMismatchError,
    TagWriterError,
    UncleanVolumeError,
    VolumeKeptError,
)
from accord.policy import Policy, Service, UpdateMode, owner_of
from accord.release._consent import nothing_stopped, touched_assets, used_assets
from accord.release._documents import parse_run_id
from accord.release._records import OpenedVolume, Release
from accord.release._run import RunRecord

MAX_UPDATES = 256
"""Most updates of one commit: whoever waits for the disk may collect so many."""


@dataclass(frozen=True, slots=True)
class TagUpdate:
    """A live volume goes from one version to the next."""

    volume: str
    number: int
    """The run's ``number``-th update of that volume, counting from 1."""

    old: Digest | None
    new: Digest
    closing: bool = False
    """Whether the run will not write to it any more."""

    @classmethod
    def from_fields(cls, fields: Fields) -> TagUpdate:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        update = cls(
            fields.name("volume"),
            fields.integer("number", minimum=1),
            fields.optional("old", fields.digest),
            fields.digest("new"),
            fields.flag("closing"),
        )
        fields.end()
        return update

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "volume": self.volume,
            "number": self.number,
            "new": self.new,
            "closing": self.closing,
        }
        return document if self.old is None else {**document, "old": self.old}


@dataclass(frozen=True, slots=True)
class TagCommit:
    """A shield's statement that its run's volumes have new tags: all of ``updates``, or none."""

    SCHEMA = "accord.tag-commit.v1"

    board: Digest
    run: str
    updates: tuple[TagUpdate, ...]

    @classmethod
    def from_fields(cls, fields: Fields) -> TagCommit:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        commit = cls(
            fields.digest("board"),
            parse_run_id(fields.take("run"), what=fields.path("run")),
            tuple(map(TagUpdate.from_fields, fields.objects("updates", limit=MAX_UPDATES))),
        )
        if not commit.updates:
            raise MalformedError(what=fields.path("updates"), detail="there is none")
        fields.end()
        return commit

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "run": self.run,
            "updates": [item.to_json() for item in self.updates],
        }


def volumes_to_open(
    board: BoardState,
    policy: Policy,
    service: Service,
    *,
    run: str,
    new_id: Callable[[str], str],
) -> tuple[OpenedVolume, ...]:
    """What the release of ``run`` would open, each from the tag that its storage must show.

    ``new_id`` names the volumes that nobody opened before; that no other has the name is *not*
    checked. Raises ``UncleanVolumeError`` or ``VolumeKeptError``.
    """
    opened = []
    for mount in service.volumes:
        record = board.tags.get(tag_name(policy.name, mount.volume))
        mode = policy.volumes[mount.volume].update
        if mode is UpdateMode.EPHEMERAL:
            if record is not None:  # What members wanted kept is not left behind unnoticed.
                raise VolumeKeptError(policy=policy.name, volume=mount.volume, run=record.run)
            opened.append(OpenedVolume(mount.volume, _ephemeral_id(run, mount.volume), None))
            continue
        if record is None:
            opened.append(OpenedVolume(mount.volume, new_id(mount.volume), None))
            continue
        if mode is UpdateMode.PROTECTED and not record.clean:
            raise UncleanVolumeError(policy=policy.name, volume=mount.volume, run=record.run)
        opened.append(OpenedVolume(mount.volume, record.volume_id, record.tag))
    return tuple(opened)


def _ephemeral_id(run: str, volume: str) -> str:
    """Follows from the run, so that no two runs can have one volume, and with it one key."""
    return "vol-" + sha256(f"{run}/{volume}".encode()).removeprefix("sha256:")[:32]


def opens_rightly(board: BoardState, release: Release, policy: Policy, service: Service) -> bool:
    """Whether a release opens what it must, and new volumes have names of their own.

    Raises ``UncleanVolumeError`` or ``VolumeKeptError``.
    """
    claimed = {item.volume: item.volume_id for item in release.volumes}
    expected = volumes_to_open(
        board, policy, service, run=release.run, new_id=lambda name: claimed.get(name, "")
    )
    known = {record.volume_id for record in board.tags.values()} if expected else set()
    new = [
        item.volume_id for item in expected if tag_name(policy.name, item.volume) not in board.tags
    ]
    return release.volumes == expected and known.isdisjoint(new) and len(set(new)) == len(new)


def opened(
    board: BoardState, release: Release, policy: Policy, service: Service
) -> Mapping[str, TagRecord]:
    """The volumes after a release that was checked: its run alone may commit from now on.

    Of an ephemeral one there is no record: nobody commits to it, and nobody opens it again.
    Whatever the service uses may end up in each of them, and so may what is in the others.
    """
    if not release.volumes:
        return {}
    before = [board.tags.get(tag_name(policy.name, item.volume)) for item in release.volumes]
    found = [record for record in before if record is not None]
    assets = {*used_assets(policy, service), *(a for record in found for a in record.assets)}
    owners = {*map(owner_of, assets), *(name for record in found for name in record.owners)}
    owners |= {o for item in service.inputs for o in board.lineage.get(item.tag, frozenset())}
    records = (
        TagRecord(
            policy=policy.name,
            volume=item.volume,
            volume_id=item.volume_id,
            run=release.run,
            tag=item.tag,
            assets=tuple(sorted(assets)),
            owners=tuple(sorted(owners)),
        )
        for item in release.volumes
        if policy.volumes[item.volume].update is not UpdateMode.EPHEMERAL
    )
    return {record.name: record for record in records}


def held_owners(board: BoardState, policy: Policy, service: Service) -> frozenset[str]:
    """Whose data may be in the live volumes of a service."""
    records = (board.tags.get(tag_name(policy.name, item.volume)) for item in service.volumes)
    return frozenset(name for record in records if record is not None for name in record.owners)


def committed(
    board: BoardState, commit: TagCommit, record: RunRecord, policy: Policy, *, now: datetime
) -> Mapping[str, TagRecord]:
    """The volumes after ``commit`` of the run of ``record``, whose release was under ``policy``.

    That the run's attested key signed it is *not* checked here. A run without leave to go on
    commits nothing: raises ``LeaseEndedError`` or ``ExecutionStoppedError``, and
    ``TagWriterError`` or ``TagMismatchError``.
    """
    if record.lease_until is not None and now >= record.lease_until:
        raise LeaseEndedError(run=commit.run)
    release = record.release
    service = policy.services[release.service]
    touched = touched_assets(board, policy, service)
    nothing_stopped(board, policy=policy.name, assets=touched, run=commit.run)
    after: dict[str, TagRecord] = {}
    for update in commit.updates:
        name = tag_name(policy.name, update.volume)
        current = after.get(name) or board.tags.get(name)
        _must_have_it_open(current, commit.run, update.volume, ended=record.statement is not None)
        if current is not None:
            after[name] = _moved_on(current, update)
    return after


def _must_have_it_open(current: TagRecord | None, run: str, volume: str, *, ended: bool) -> None:
    """Raises ``TagWriterError``: of two writers, the one that opened it last goes on."""
    if current is None:
        detail = "nobody has opened it, or it is ephemeral"
    elif current.run != run:
        detail = f"{current.run} has it open, or had it last"
    elif current.clean:
        detail = "it is closed, or members accepted a tag since"
    elif ended:
        detail = "the run has ended"
    else:
        return
    raise TagWriterError(run=run, volume=volume, detail=detail)


def _moved_on(current: TagRecord, update: TagUpdate) -> TagRecord:
    """Compare and swap. The number keeps an old commit from fitting again if a tag returns."""
    if (update.old, update.number) != (current.tag, current.number + 1):
        raise TagMismatchError(
            volume=update.volume,
            expected=f"{current.tag or 'nothing'}, commit {current.number + 1}",
            found=f"{update.old or 'nothing'}, commit {update.number}",
        )
    return replace(current, tag=update.new, number=update.number, clean=update.closing)
