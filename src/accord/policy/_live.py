# SPDX-License-Identifier: Apache-2.0
"""Live volumes: what a service keeps from one run to the next, under the policy's own key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from accord.encoding import Fields, JSONValue, parse_name
from accord.errors import PolicyContentError

MAX_VOLUMES = 64
"""Most live volumes of one policy."""


@dataclass(frozen=True, slots=True)
class LiveVolume:
    """A volume of a policy, and how a run that did not close it is dealt with."""

    strict: bool = True
    """Whether members must accept a tag before anybody opens it again; else the last one holds."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        volume = cls(fields.flag("strict") if fields.has("strict") else True)
        fields.end()
        return volume

    def to_json(self) -> JSONValue:
        return {"strict": self.strict}

    @property
    def words(self) -> str:
        """What the mode means."""
        if self.strict:
            return "after an unclean exit it stays shut until a vote accepts a tag"
        return "after an unclean exit it goes on FROM THE LAST TAG, whatever was lost"


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
