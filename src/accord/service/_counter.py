# SPDX-License-Identifier: Apache-2.0
"""A monotonic counter beside the store: an older copy of it is noticed when it is started.

The protocol is PALAEMON's: the store holds a version, the platform a counter. A life begins
only where the two are equal, and counts one on; it ends by writing the counter's value into
the store. So two operations for each life, none for any change, and whatever did not end in
order, a copy, or what runs twice, finds them unequal.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from accord.encoding import Fields, JSONValue, canonical_json, parse_json
from accord.errors import CounterNeededError, CounterSealedError
from accord.service._store import Store

_SETTING = "counter"
_SCHEMA = "accord.counter.v1"


class MonotonicCounter(Protocol):
    """Something that can only grow, whoever has the machine."""

    def read(self) -> int:
        """Its value. Raises ``AccordError`` where it is not there, or not ours."""
        ...

    def increment(self) -> int:
        """Counts one on and returns the value after. Raises as `read`."""
        ...


class Standing(StrEnum):
    """What the counter says about the store."""

    OPEN = "open"
    """It is the latest one."""

    UNCLEAN = "unclean"
    """The life before did not end in order: or this is a copy from before it."""

    REFUSED = "refused"
    """It is an older copy, or another copy has run."""


class Lives:
    """The present life of a store, and whether it follows the one before.

    The store must be one whole, as `SQLiteStore` is: of one whose rows are of different ages
    the counter would know nothing. Raises ``CounterNeededError`` where ``counter`` is missing
    and the store was used with one, and what the counter raises.
    """

    def __init__(self, store: Store, counter: MonotonicCounter | None) -> None:
        self._store, self._counter = store, counter
        kept = store.setting(_SETTING)
        self._kept = None if kept is None else _read(kept)
        self._value = 0
        self.standing = Standing.OPEN
        if counter is not None:
            self._begin(counter)
        elif self._kept is not None:
            raise CounterNeededError

    def _begin(self, counter: MonotonicCounter) -> None:
        self._value = counter.read()
        if self._kept is None and not self._store.boards():
            self._keep()
        if self._value == self._kept:
            self._count(counter)
        elif self._kept is not None and self._value == self._kept + 1:
            self.standing = Standing.UNCLEAN
        else:
            # Also where it had boards before it had a counter: who knows how many lives ago.
            self.standing = Standing.REFUSED

    def _count(self, counter: MonotonicCounter) -> None:
        """Begins a life, if nobody else began it at the same time."""
        before, self._value = self._value, counter.increment()
        self.standing = Standing.OPEN if self._value == before + 1 else Standing.REFUSED

    def _keep(self) -> None:
        document: JSONValue = {"schema": _SCHEMA, "value": self._value}
        self._store.set_setting(_SETTING, canonical_json(document))
        self._kept = self._value

    def allows(self, *, witnessed: bool) -> bool:
        """Whether things may leave. After an unclean end a quorum of witnesses decides instead."""
        return self.standing is Standing.OPEN or (witnessed and self.standing is Standing.UNCLEAN)

    def require(self, *, witnessed: bool) -> None:
        """Raises ``CounterSealedError`` unless it `allows`."""
        if not self.allows(witnessed=witnessed):
            expected = "none" if self._kept is None else self._kept
            raise CounterSealedError(value=self._value, expected=expected)

    def accept(self, value: int) -> None:
        """The owner's word, for this value of the counter only, that the store is the latest.

        Raises what the counter raises.
        """
        if self._counter is None or self.standing is Standing.OPEN or value != self._value:
            return
        self._keep()
        self._count(self._counter)

    def end(self, *, fresh: bool) -> None:
        """The last write of a life. ``fresh``: witnesses have seen every log of it.

        What nobody vouched for stays sealed: another start must not make it the latest.
        """
        if self._counter is None:
            return
        if self.standing is Standing.OPEN or (fresh and self.standing is Standing.UNCLEAN):
            self._keep()

    def to_json(self) -> JSONValue:
        """What everybody may know; nothing where there is no counter."""
        if self._counter is None:
            return None
        expected = {} if self._kept is None else {"expected": self._kept}
        return {"standing": self.standing.value, "value": self._value, **expected}


def _read(data: bytes) -> int:
    fields = Fields(parse_json(data, what=_SETTING), _SETTING)
    fields.schema(_SCHEMA)
    value = fields.integer("value", minimum=0)
    fields.end()
    return value
