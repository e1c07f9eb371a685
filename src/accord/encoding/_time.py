# SPDX-License-Identifier: Apache-2.0
"""Times are UTC, whole seconds, RFC 3339 with a final Z."""

import re
from datetime import UTC, datetime

from accord.errors import MalformedError

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def format_time(moment: datetime) -> str:
    """``moment`` (aware) as ``YYYY-MM-DDTHH:MM:SSZ``; fractions are cut off."""
    return moment.astimezone(UTC).strftime(_FORMAT)


def parse_time(text: object, *, what: str) -> datetime:
    """The moment that ``text`` names. Raises ``MalformedError``."""
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise MalformedError(what=what, detail="expected a time like 2026-01-31T12:00:00Z")
    try:
        return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
    except ValueError as exc:
        raise MalformedError(what=what, detail=f"no such time: {text}") from exc
