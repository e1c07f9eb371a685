# SPDX-License-Identifier: Apache-2.0
"""Names in policies: of policies (paths in namespaces) and of assets."""

from __future__ import annotations

import re

from accord.encoding import NAME
from accord.errors import MalformedError

MAX_NAME = 255
MAX_NAMES = 8
"""Deepest namespace: eight names between slashes."""

ASSET = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}/[a-z0-9][a-z0-9._-]{0,62}")


def parse_asset_name(text: object, *, what: str) -> str:
    """``OWNER/NAME``. Raises ``MalformedError``."""
    if not isinstance(text, str) or not ASSET.fullmatch(text):
        raise MalformedError(what=what, detail="expected OWNER/NAME")
    return text


def owner_of(asset: str) -> str:
    """The member whose asset it is: ``OWNER`` of ``OWNER/NAME``."""
    return asset.partition("/")[0]


def parse_policy_name(text: object, *, what: str) -> str:
    """``NAME`` or ``NAMESPACE/NAME``, at most eight names. Raises ``MalformedError``."""
    names = text.split("/") if isinstance(text, str) and len(text) <= MAX_NAME else []
    if not 1 <= len(names) <= MAX_NAMES or not all(map(NAME.fullmatch, names)):
        raise MalformedError(
            what=what,
            detail="expected a policy name: lower-case letters, digits, dot, dash, underscore,"
            " and slashes between namespaces",
        )
    return str(text)


def parent_name(policy: str) -> str | None:
    """The policy whose namespace ``policy`` lives in; ``None`` at the top."""
    return policy.rpartition("/")[0] or None
