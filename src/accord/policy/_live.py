# SPDX-License-Identifier: Apache-2.0
"""Live volumes: what a service keeps from one run to the next, under the policy's own key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from accord.encoding import Fields, JSONValue, parse_name
from accord.errors import PolicyContentError

MAX_VOLUMES = 64
"""Most live volumes of one policy."""


class UpdateMode(StrEnum):
    """What becomes of what a run writes, from the strictest to the loosest."""

    EPHEMERAL = "ephemeral"
    """Nothing of it: each run has an empty volume under a key that no other run gets."""

    PROTECTED = "protected"
    """One history, and after an unclean exit a vote on where it goes on."""

    UNPROTECTED = "unprotected"
    """One history that goes on from the last tag, whatever an unclean exit has lost."""


@dataclass(frozen=True, slots=True)
class LiveVolume:
    """A volume of a policy, and how what runs write to it is kept."""

    update: UpdateMode = UpdateMode.PROTECTED

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        volume = cls(
            fields.choice("update", UpdateMode) if fields.has("update") else UpdateMode.PROTECTED
        )
        fields.end()
        return volume

    def to_json(self) -> JSONValue:
        return {"update": self.update.value}

    @property
    def words(self) -> str:
        """What the mode means."""
        return _WORDS[self.update]


_WORDS = {
    UpdateMode.EPHEMERAL: "each run has an empty one of its own, and NOTHING OF IT IS KEPT",
    UpdateMode.PROTECTED: "after an unclean exit it stays shut until a vote accepts a tag",
    UpdateMode.UNPROTECTED: "after an unclean exit it goes on FROM THE LAST TAG, whatever was lost",
}


@dataclass(frozen=True, slots=True)
class LiveMount:
    """Where a service sees a live volume of its policy, which it may read and write."""

    volume: str
    at: str

    def to_json(self) -> JSONValue:
        return {"volume": self.volume, "at": self.at}


def read_volumes(fields: Fields) -> Mapping[str, LiveVolume]:
    """The section ``volumes`` of a policy. Raises ``MalformedError`` or ``PolicyContentError``."""
    volumes = {}
    for name in fields.names():
        parse_name(name, what=fields.where)
        volumes[name] = LiveVolume.from_fields(fields.object(name))
    if len(volumes) > MAX_VOLUMES:
        raise PolicyContentError(where=fields.where, detail=f"more than {MAX_VOLUMES}")
    return MappingProxyType(volumes)
