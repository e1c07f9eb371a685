# SPDX-License-Identifier: Apache-2.0
"""Exports: for whom else a policy has its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from accord.encoding import Digest, Fields, JSONValue
from accord.errors import PolicyContentError
from accord.identity import VerifyKey
from accord.policy._names import parse_policy_name
from accord.policy._secrets import GENERATED_KINDS, RAW_KINDS, PeerService, SecretKind, SecretSpec

PUBLIC: Final = "public"
"""Exported to this, the public part of a secret is for everybody."""

PUBLIC_KINDS = GENERATED_KINDS - RAW_KINDS
"""Kinds that have a part which everybody may see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Who else may import a secret; nothing is shared unless the importer says so as well."""

    secret: str
    to: str
    """A policy, or ``public``: then everybody may see the public part, and nothing else."""

    pin: Digest | None = None
    """The only version of the importing policy that gets it."""

    namespace: bool = False
    """Whether all policies in the namespace of ``to`` get it too."""

    service: PeerService | None = None
    """Where the importing policy is, if not on the same board."""

    @classmethod
    def from_fields(cls, fields: Fields) -> Export:
        """Reads and ends ``fields``; whether the secret exists is *not* checked here.

        Raises ``MalformedError`` or ``PolicyContentError``.
        """
        service = None
        if fields.has("service"):
            service = PeerService.from_fields(fields.object("service"), with_url=False)
        export = cls(
            secret=fields.name("secret"),
            to=parse_policy_name(fields.take("to"), what=fields.path("to")),
            pin=fields.optional("pin", fields.digest),
            namespace=fields.has("namespace") and fields.flag("namespace"),
            service=service,
        )
        fields.end()
        narrowed = export.pin is not None or export.namespace or service is not None
        if export.is_public and narrowed:
            raise PolicyContentError(where=fields.where, detail="public has no further conditions")
        if export.pin is not None and export.namespace:
            raise PolicyContentError(
                where=fields.path("pin"), detail="a pin means one policy, not a namespace"
            )
        return export

    @property
    def is_public(self) -> bool:
        return self.to == PUBLIC

    def covers(
        self, policy: str, digest: Digest, *, board: Digest | None, log_key: VerifyKey | None
    ) -> bool:
        """Whether that version of that policy gets the secret, apart from what is public.

        ``board`` and ``log_key`` say where the importer is; ``None``: on the same board.
        """
        if self.is_public or (self.pin is not None and self.pin != digest):
            return False
        peer = (self.service.board, self.service.log_key) if self.service else (None, None)
        if peer != (board, log_key):
            return False
        return policy == self.to or (self.namespace and policy.startswith(f"{self.to}/"))

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "secret": self.secret,
            "to": self.to,
            "namespace": self.namespace,
        }
        if self.pin is not None:
            document["pin"] = self.pin
        if self.service is not None:
            document["service"] = self.service.to_json()
        return document


def read_exports(fields: Fields, secrets: Mapping[str, SecretSpec]) -> tuple[Export, ...]:
    """The list ``exports`` of a policy, each of a secret of its own.

    What was imported cannot be exported again, so that consent never travels in circles.
    Raises ``MalformedError`` or ``PolicyContentError``.
    """
    exports = tuple(map(Export.from_fields, fields.objects("exports")))
    for export in exports:
        spec = secrets.get(export.secret)
        problem = None
        if spec is None:
            problem = f"there is no secret {export.secret}"
        elif spec.kind in (SecretKind.IMPORT, SecretKind.ASSET):
            problem = f"{export.secret} belongs to somebody else"
        elif export.is_public and spec.kind not in PUBLIC_KINDS:
            problem = f"{export.secret} has no public part"
        if problem is not None:
            raise PolicyContentError(where=fields.path("exports"), detail=problem)
    if len({(export.secret, export.to, export.service) for export in exports}) != len(exports):
        raise PolicyContentError(where=fields.path("exports"), detail="an export appears twice")
    return exports
