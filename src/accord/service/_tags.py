# SPDX-License-Identifier: Apache-2.0
"""Live volumes at the trust service: their keys, and the commits of runs that have them open."""

from __future__ import annotations

from collections.abc import Mapping

from accord.board import tag_name
from accord.encoding import Envelope
from accord.errors import DuplicateStatementError, UnsupportedFormatError
from accord.identity import statement_kind
from accord.release import GrantedVolume, Release
from accord.service._host import BoardHost
from accord.service._parts import Parts
from accord.service._secret_names import volume_key_name

VOLUME_KEY_BYTES = 32


def new_volume_keys(parts: Parts, host: BoardHost, release: Release) -> Mapping[str, bytes]:
    """A key for each volume that this release is the first to open, by its name in the store.

    Staged with the release, in one transaction: there is a key exactly where the log has opened
    the volume. Nothing else may be staged in between.
    """
    tags = host.machine.board.tags
    return {
        volume_key_name(item.volume_id): parts.entropy(VOLUME_KEY_BYTES)
        for item in release.volumes
        if tag_name(release.policy, item.volume) not in tags
    }


async def granted_volumes(
    parts: Parts, host: BoardHost, release: Release
) -> tuple[GrantedVolume, ...]:
    """What the shield needs to open them. Raises ``SecretValueError`` where a key is not there."""
    granted = []
    for item in release.volumes:
        place = volume_key_name(item.volume_id)
        key = await parts.value(host.board, place, name=item.volume)
        granted.append(GrantedVolume(item.volume, item.volume_id, item.tag, key))
    return tuple(granted)


async def commit_tags(host: BoardHost, envelope: Envelope) -> int:
    """Records a shield's commit and returns its index; sending it again changes nothing.

    Returns once nobody can take it back: a rollback of this service would otherwise bring back
    a tag that it replaced, and with it an older version of a volume.
    Raises what the state refuses it with, and what `BoardHost.confirmed` raises.
    """
    if statement_kind(envelope) != "tag-commit":
        raise UnsupportedFormatError(
            what="statement", found=statement_kind(envelope), expected="a commit of tags"
        )
    try:
        index = host.stage(envelope)
    except DuplicateStatementError:
        index = host.machine.board.recorded[envelope.statement_digest]
    await host.settled()
    await host.confirmed(index)
    return index
