# SPDX-License-Identifier: Apache-2.0
"""Tags of live volumes: which version is the last, who has it open, whose data is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from accord.encoding import Digest, Fields, JSONValue
from accord.policy import parse_asset_name, parse_policy_name

MAX_ASSETS = 100_000


def tag_name(policy: str, volume: str) -> str:
    """What a live volume is called on its board: volumes have no slash, so it has one reading."""
    return f"{policy}/{volume}"


@dataclass(frozen=True, slots=True)
class TagRecord:
    """A live volume that was opened at least once."""

    policy: str
    volume: str
    volume_id: str
    run: str
    """The run that opened it last; while it is not ``clean``, it alone may commit."""

    tag: Digest | None = None
    """Of the last version that was committed or accepted; ``None``: it starts empty."""

    number: int = 0
    """How many commits that run has made."""

    clean: bool = False
    """Whether that run closed it, or members accepted a tag since."""

    assets: tuple[str, ...] = ()
    """Everything that a service used which had it open: its data may be inside."""

    owners: tuple[str, ...] = ()
    """The owners of that, and of what it was computed from."""

    @property
    def name(self) -> str:
        return tag_name(self.policy, self.volume)

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Reads and ends ``fields``, as `to_json` wrote them. Raises ``MalformedError``."""
        assets = fields.items("assets", limit=MAX_ASSETS)
        record = cls(
            parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            fields.name("volume"),
            fields.name("volume_id"),
            fields.name("run"),
            fields.optional("tag", fields.digest),
            fields.integer("number", minimum=0),
            fields.flag("clean"),
            tuple(parse_asset_name(value, what=where) for where, value in assets),
            fields.unique_names("owners"),
        )
        fields.end()
        return record

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "policy": self.policy,
            "volume": self.volume,
            "volume_id": self.volume_id,
            "run": self.run,
            "number": self.number,
            "clean": self.clean,
            "assets": list(self.assets),
            "owners": list(self.owners),
        }
        return document if self.tag is None else {**document, "tag": self.tag}
