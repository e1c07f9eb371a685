# SPDX-License-Identifier: Apache-2.0
"""Times are UTC, whole seconds, RFC 3339 with a final Z."""

import re
from datetime import UTC, datetime

from accord.errors import MalformedError

_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")
# Not \d: it also means the digits of other scripts, a second spelling of the same time.


def format_time(moment: datetime) -> str:
    """``moment`` (aware) as ``YYYY-MM-DDTHH:MM:SSZ``; fractions are cut off."""
    whole = moment.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    return f"{whole.isoformat()}Z"


def parse_time(text: object, *, what: str) -> datetime:
    """The moment that ``text`` names. Raises ``MalformedError``."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise MalformedError(what=what, detail="expected a time like 2026-01-31T12:00:00Z")
    try:
        year, month, day, hour, minute, second = map(int, found.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as exc:
        raise MalformedError(what=what, detail=f"no such time: {text}") from exc
