# SPDX-License-Identifier: Apache-2.0
"""Enactments: what a proposal with all its approvals brings about, its new secrets included."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from accord.board import BoardState, Enactment, ProposalRecord
from accord.encoding import Digest
from accord.errors import (
    AccordError,
    BoardMovedError,
    NotWriterError,
    SecretValueError,
    ServiceDismissedError,
    ServiceHaltedError,
    StoreConflictError,
    StoreUnavailableError,
)
from accord.policy import AUTHORITY, Fate, Policy, carried_over
from accord.secrets import PolicyAuthority, generate, public_parts
from accord.service._host import BoardHost
from accord.service._parts import Parts
from accord.service._root import split_if_due
from accord.service._secret_names import authority_name, secret_name

_LOG = logging.getLogger("accord.service")

_STOPPED = (
    BoardMovedError,
    NotWriterError,
    ServiceHaltedError,
    StoreConflictError,
    StoreUnavailableError,
)
"""What is wrong with the board's store, not with the proposal."""


@dataclass(slots=True, repr=False)
class Made:
    """The secrets of the policies that one proposal enacts."""

    public: dict[str, Mapping[str, str]] = field(default_factory=dict)
    values: dict[str, bytes] = field(default_factory=dict)
    """By the names of `accord.service._secret_names`."""


Kept = Mapping[str, Mapping[str, bytes]]
"""By policy and secret, the stored values that the next version takes over."""


def _make(policies: tuple[Policy, ...], kept: Kept, *, board: Digest, now: datetime) -> Made:
    """Every secret that these policies have of their own. Slow: an RSA key takes most of a second.

    Raises ``SecretValueError`` where a kept value is not what its policy says.
    """
    made = Made()
    for policy in policies:
        values = generate(
            policy.secrets, kept=kept[policy.name], now=now, board=board, policy=policy.name
        )
        shown = dict(public_parts(values))
        for name, value in values.items():
            made.values[secret_name(policy.digest, name)] = value.to_bytes()
        if policy.authority:
            authority = PolicyAuthority.create(board=board, policy=policy.name, now=now).value
            shown.update(public_parts({AUTHORITY: authority}))
            made.values[authority_name(policy.digest)] = authority.to_bytes()
        if shown:
            made.public[policy.name] = shown
    return made


def _taken_over(state: BoardState, policy: Policy) -> Mapping[str, str]:
    """The secrets whose values ``policy`` keeps, with the names that the store has them under."""
    old = state.policy(policy.name)
    if old is None:
        return {}
    fates = carried_over(old.secrets, policy.secrets).items()
    return {name: secret_name(old.digest, name) for name, fate in fates if fate is Fate.KEPT}


class Enactments:
    """Enacts what is approved, one proposal of a board after the other."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._locks: dict[Digest, asyncio.Lock] = {}
        self._failed: set[Digest] = set()
        """Proposals that cannot be enacted; tried again at the next start only."""

    def _ready(self, host: BoardHost) -> list[ProposalRecord]:
        state, now = host.machine.board, host.now()
        return [
            record
            for record in state.open_proposals.values()
            if record.id not in self._failed and state.enactable(record, now)
        ]

    def enact_now(self, host: BoardHost) -> None:
        """`enact` for the start of the service, before there is an event loop."""
        store = self._parts.hosting.store
        while ready := self._ready(host):
            state = host.machine.board
            host.settle_now()
            found = self._collect(state, ready[0], lambda name: store.secret(host.board, name))
            self._stage(host, ready[0].id, found)

    async def enact(self, host: BoardHost) -> None:
        """Stages the enactment of every proposal that has all its approvals and its notice.

        One whose secrets cannot be made stays open, and the log of the service says why.
        """
        if not self._ready(host):
            return
        async with self._locks.setdefault(host.board, asyncio.Lock()):
            while ready := self._ready(host):
                await self._enact(host, ready[0])

    async def _enact(self, host: BoardHost, record: ProposalRecord) -> None:
        state = host.machine.board
        found: Made | None = Made()
        if any(policy.secrets or policy.authority for policy in record.proposal.policies):
            # The values to be kept may have come with an enactment that is not durable yet.
            await host.settled()
            stored: dict[str, bytes | None] = {}
            for policy in record.proposal.policies:
                for name in _taken_over(state, policy).values():
                    stored[name] = await self._parts.secret(host.board, name)
            found = await asyncio.to_thread(self._collect, state, record, stored.get)
        self._stage(host, record.id, found)

    def _collect(
        self, state: BoardState, record: ProposalRecord, stored: Callable[[str], bytes | None]
    ) -> Made | None:
        """The secrets of a proposal; ``None`` where they cannot be made."""
        policies = record.proposal.policies
        try:
            kept = {item.name: self._kept(state, item, stored) for item in policies}
            now = self._parts.hosting.clock().replace(microsecond=0)
            return _make(policies, kept, board=state.board, now=now)
        except AccordError as exc:
            _LOG.error("proposal %s cannot be enacted: %s", record.id, exc.code)
            return None

    @staticmethod
    def _kept(
        state: BoardState, policy: Policy, stored: Callable[[str], bytes | None]
    ) -> Mapping[str, bytes]:
        kept = {}
        for name, place in _taken_over(state, policy).items():
            value = stored(place)
            if value is None:
                raise SecretValueError(name=name, detail="what was kept is not there")
            kept[name] = value
        return kept

    def _stage(self, host: BoardHost, proposal: Digest, made: Made | None) -> None:
        """One entry, with the values in the same transaction; nothing if the vote has turned."""
        if made is None:
            self._failed.add(proposal)
            return
        state = host.machine.board
        record = state.open_proposals.get(proposal)
        if record is not None and state.enactable(record, host.now()):
            body = Enactment(host.board, proposal, made.public).to_json()
            try:
                host.stage(self._parts.sign("enactment", body), secrets=made.values)
            except _STOPPED:
                raise
            except AccordError as exc:
                # Too large, for instance: it must not keep the next one from being enacted.
                self._give_up(proposal, exc)
                return
            split_if_due(self._parts, host)
            self._tell_dismissal(host)

    def _give_up(self, proposal: Digest, error: AccordError) -> None:
        self._failed.add(proposal)
        _LOG.error("proposal %s cannot be enacted: %s", proposal, error.code)

    @staticmethod
    def _tell_dismissal(host: BoardHost) -> None:
        """Whoever runs this service reads that members replaced it: it releases nothing more."""
        try:
            host.require_accepted()
        except ServiceDismissedError as exc:
            _LOG.error("%s (%s); nothing is released", exc, exc.code)
