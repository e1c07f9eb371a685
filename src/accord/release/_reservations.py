# SPDX-License-Identifier: Apache-2.0
"""Uses that are counted before anything leaves, so that a rollback cannot count them again.

Witnesses cosign a reservation; the releases that take from it need not be seen by them first.
Whatever a rollback forgets of those, their uses stay counted, and there are no more of them than
the reservation held (docs/spec/release.md, 12).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from accord.board import BoardState
from accord.encoding import Digest, Fields, JSONValue, base64_encode, format_time
from accord.errors import ReservationError, ReservationInvalidError
from accord.policy import Assurance, Policy, parse_policy_name
from accord.release._consent import (
    enacted_service,
    nothing_stopped,
    owners_consent,
    used_assets,
)
from accord.release._documents import NONCE_BYTES
from accord.release._records import AssetUse, Release

Uses = Mapping[Digest, int]
"""How many uses of each offer are counted."""


@dataclass(frozen=True, slots=True)
class UseReservation:
    """The trust service's statement that it counts so many releases of one service in advance."""

    SCHEMA = "accord.use-reservation.v1"

    board: Digest
    policy: str
    policy_digest: Digest
    service: str
    count: int
    until: datetime
    boot: bytes
    """Nonce of the service start that may use it: no other start ever can."""

    predecessor: Digest | None = None
    """The one of this service that it replaces, made in the same start: its rest is free again."""

    @classmethod
    def from_fields(cls, fields: Fields) -> UseReservation:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        fields.schema(cls.SCHEMA)
        reservation = cls(
            board=fields.digest("board"),
            policy=parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            policy_digest=fields.digest("policy_digest"),
            service=fields.name("service"),
            count=fields.integer("count", minimum=1),
            until=fields.time("until"),
            boot=fields.data("boot", size=NONCE_BYTES),
            predecessor=fields.optional("predecessor", fields.digest),
        )
        fields.end()
        return reservation

    def to_json(self) -> JSONValue:
        document: dict[str, JSONValue] = {
            "schema": self.SCHEMA,
            "board": self.board,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "service": self.service,
            "count": self.count,
            "until": format_time(self.until),
            "boot": base64_encode(self.boot),
        }
        if self.predecessor is not None:
            document["predecessor"] = self.predecessor
        return document

    @property
    def key(self) -> tuple[str, str]:
        """Each service of a policy has one reservation at a time."""
        return self.policy, self.service


@dataclass(frozen=True, slots=True)
class Reserved:
    """A reservation that is in force, and how much of it is gone."""

    reservation: UseReservation
    digest: Digest
    """Of the statement: what releases name."""

    index: int
    """Of its entry: nothing that names it leaves before this is cosigned."""

    first: tuple[AssetUse, ...]
    """For each asset the first use that it holds."""

    taken: int = 0

    @classmethod
    def from_fields(cls, fields: Fields) -> Reserved:
        """Reads and ends ``fields``, as `to_json` wrote them."""
        reserved = cls(
            UseReservation.from_fields(fields.object("reservation")),
            fields.digest("digest"),
            fields.integer("index", minimum=1),
            tuple(map(AssetUse.from_fields, fields.objects("first"))),
            fields.integer("taken", minimum=0),
        )
        fields.end()
        return reserved

    def to_json(self) -> JSONValue:
        return {
            "reservation": self.reservation.to_json(),
            "digest": self.digest,
            "index": self.index,
            "first": [use.to_json() for use in self.first],
            "taken": self.taken,
        }

    @property
    def left(self) -> int:
        return self.reservation.count - self.taken

    def with_one_taken(self) -> Reserved:
        return replace(self, taken=self.taken + 1)

    @property
    def counted(self) -> Uses:
        """The uses so far as a release sees them that takes the next one from here."""
        return {use.offer: use.number - 1 + self.taken for use in self.first}

    def why_not(self, board: BoardState, now: datetime) -> str | None:
        """Why no release can take from it at ``now``; ``None``: one can.

        Stops, terms and whatever else a release needs are *not* looked at.
        """
        policy = board.policy(self.reservation.policy)
        if policy is None or policy.digest != self.reservation.policy_digest:
            return "another version of the policy is in force"
        if now >= self.reservation.until:
            return f"it lasted until {format_time(self.reservation.until)}"
        if self.left < 1:
            return "all of its uses are taken"
        for use in self.first:
            if board.assets[use.asset].offered_by != use.offer:
                return f"{use.asset} has been offered anew"
        return None


def reserved_for(
    board: BoardState,
    reservations: Mapping[tuple[str, str], Reserved],
    release: Release,
    now: datetime,
) -> Reserved:
    """The reservation that ``release`` names, if one more release can take from it.

    That the release says the right uses is *not* checked here. Raises ``ReservationError``.
    """
    reserved = reservations.get((release.policy, release.service))
    if reserved is None or reserved.digest != release.reservation:
        raise ReservationError(
            service=release.service, detail="it is void: the service has started, or reserved, anew"
        )
    detail = reserved.why_not(board, now)
    if detail is not None:
        raise ReservationError(service=release.service, detail=detail)
    return reserved


def next_reservation(
    board: BoardState,
    uses: Uses,
    earlier: Reserved | None,
    *,
    policy: str,
    service: str,
    boot: bytes,
    now: datetime,
) -> UseReservation:
    """The largest and longest reservation that could be the next one for this service.

    Its uses are free until an entry records it. Raises what `allowed` raises.
    """
    counted = given_back(uses, earlier)
    enacted, _, count, ttl = allowed(board, counted, policy=policy, service=service, now=now)
    return UseReservation(
        board=board.board,
        policy=policy,
        policy_digest=enacted.digest,
        service=service,
        count=count,
        until=now + ttl,
        boot=boot,
        predecessor=None if earlier is None else earlier.digest,
    )


def reserve(
    board: BoardState,
    uses: Uses,
    earlier: Reserved | None,
    reservation: UseReservation,
    *,
    digest: Digest,
    index: int,
    boot: bytes,
    now: datetime,
) -> tuple[dict[Digest, int], Reserved]:
    """The uses and the reservation after the entry that records ``reservation``.

    ``earlier`` is the one of the same service in the same start: what it has left is free again.
    Only releases of this very start could take that, and none does once this entry is before
    them; entries that are lost take nothing back. Raises ``ReservationInvalidError`` and what
    `allowed` raises.
    """
    counted = given_back(uses, earlier)
    policy, first, most, ttl = allowed(
        board, counted, policy=reservation.policy, service=reservation.service, now=now
    )
    consistent = (
        reservation.policy_digest == policy.digest
        and reservation.count <= most
        and now < reservation.until <= now + ttl
        and reservation.boot == boot
        and reservation.predecessor == (None if earlier is None else earlier.digest)
    )
    if not consistent:
        raise ReservationInvalidError(index=index)
    for use in first:
        counted[use.offer] = use.number - 1 + reservation.count
    return counted, Reserved(reservation, digest, index, first)


def given_back(uses: Uses, earlier: Reserved | None) -> dict[Digest, int]:
    """The uses without those that nobody took from ``earlier``."""
    counted = dict(uses)
    if earlier is not None:
        for use in earlier.first:
            counted[use.offer] -= earlier.left
            if not counted[use.offer]:
                del counted[use.offer]
    return counted


def allowed(
    board: BoardState, counted: Uses, *, policy: str, service: str, now: datetime
) -> tuple[Policy, tuple[AssetUse, ...], int, timedelta]:
    """The policy, the next use of each asset, how many can be reserved, and for how long.

    Terms are held against the best environment there is: each release asks again with its own.
    Raises ``ReservationError`` and REL errors.
    """
    enacted, found = enacted_service(board, policy, service, now)
    rule = enacted.freshness
    if rule is None or not is_leased(enacted, service):
        raise ReservationError(service=service, detail="its releases wait for the witnesses")
    nothing_stopped(board, policy=policy, assets=frozenset(used_assets(enacted, found)), run="")
    first = owners_consent(
        board, counted, policy=enacted, service=found, assurance=Assurance.ENCLAVE, now=now
    )
    left = (board.assets[use.asset].offer.terms.max_uses - use.number + 1 for use in first)
    return enacted, first, min((rule.max_uses, *left)), timedelta(seconds=rule.ttl_s)


def is_leased(policy: Policy, service: str) -> bool:
    """Whether releases of a service of ``policy`` can be reserved."""
    rule = policy.freshness
    return rule is not None and rule.is_lease and policy.services[service].may_be_leased


def departure(board: BoardState, policy: Policy, service: str) -> str | None:
    """What a release waits for before it leaves, and what a rollback could make of that.

    ``None``: there are no witnesses, and it waits for nobody.
    """
    rule = policy.freshness
    if board.charter.witnesses is None:
        return None
    if rule is not None and is_leased(policy, service):
        return (
            f"a reservation that witnesses cosigned: all of its {rule.max_uses} releases within "
            f"{rule.ttl_s} s may be in no log after a rollback"
        )
    return "witnesses that cosigned its entry"
