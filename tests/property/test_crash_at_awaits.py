# SPDX-License-Identifier: Apache-2.0
"""A caller who goes away at any await of a request leaves nothing half done."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.crash_awaits import CutAt
from tests.support.live import Hardware, store_key
from tests.support.served import Served, Shield
from tests.support.witness import four_witnesses
from tests.support.witnessed import Witnessed

from accord.encoding import Digest, Envelope, sha256
from accord.errors import AccordError
from accord.evidence import Purpose
from accord.identity import SealKey, open_sealed, seal, sign_statement
from accord.release import (
    ASSET_KEY_PURPOSE,
    GRANT_PURPOSE,
    Grant,
    LeaseRequest,
    Machine,
    TagCommit,
    TagUpdate,
    asset_key_context,
    grant_context,
    lease_binding,
)
from accord.service import SQLiteStore, Stored
from accord.service._releases import Timings
from accord.service._secret_names import deposit_name

MOST = 60
"""No request waits more often."""


class SlowStore(SQLiteStore):
    """A disk that takes its time, so that whoever needs it has to wait."""

    def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
        time.sleep(0.005)
        super().append(board, first, batch, fence=fence)


@pytest.fixture(params=["solo", "witnessed"])
def served(request: pytest.FixtureRequest, hardware: Hardware, tmp_path: Path) -> Iterator[Served]:
    """A board with a secret, a live volume and leases; with and without witnesses."""
    store: Any = SlowStore(tmp_path / "state.db", store_key(hardware))
    with contextlib.closing(store), four_witnesses() as witnesses:
        if request.param == "solo":
            made = Served(hardware, tmp_path, store=store)
        else:
            made = Witnessed(hardware, tmp_path, witnesses=witnesses, store=store)
        made.deposit("word", b"a word")
        service = {
            "environment": {"WORD": "{{ accord.word }}"},
            "volumes": [{"volume": "state", "at": "/data/state"}],
            "lease_s": 600,
        }
        made.enact(
            made.policy(
                secrets={"word": {"kind": "asset", "asset": "ann/word"}},
                volumes={"state": {"update": "unprotected"}},
                train=service,
            )
        )
        yield made
        made.service.close()


@dataclass
class Asked:
    """A request, and what must be so once it is over, however it ended."""

    work: Callable[[], Coroutine[Any, Any, Any]]
    after: Callable[[], Awaitable[None]]


def used(served: Served) -> int:
    return max(served.host.machine.uses.values(), default=0)


async def granted(served: Served, shield: Shield) -> Grant:
    request = served.request(shield)
    sealed = await served.service.release(served.host, request, Timings())
    context = grant_context(served.board, request.nonce, shield.keyset)
    message = open_sealed(sealed, shield.seal_key, purpose=GRANT_PURPOSE, context=context)
    said = served.said_by_service("grant", Envelope.from_bytes(message, what="grant"))
    return Grant.from_fields(said.fields())


async def a_deposit(served: Served, number: int) -> Asked:
    """What is offered has its key, and what is not leaves none."""
    salted = sha256(str(number).encode()).encode()
    envelope = served.offer(f"secret-{number}", sha256(salted))
    digest: Digest = envelope.statement_digest
    key: SealKey = served.service.keyset.seal_key
    context = asset_key_context(digest)
    sealed = seal(salted, key, purpose=ASSET_KEY_PURPOSE, context=context)

    async def after() -> None:
        kept = served.store.secret(served.board, deposit_name(digest))
        assert (digest in served.host.machine.board.recorded) == (kept is not None)
        index = await served.service.submit(served.host, envelope, sealed)
        assert index == served.host.machine.board.recorded[digest]

    return Asked(lambda: served.service.submit(served.host, envelope, sealed), after)


async def a_release(served: Served, _: int) -> Asked:
    """The use counts or not, once; the nonce is good once; the next use has the next number."""
    request, before = served.request(served.shield()), used(served)

    async def after() -> None:
        first = used(served) - before
        try:
            await served.service.release(served.host, request, Timings())
            again = 1
        except AccordError:
            again = 0
        assert (first, again) in {(0, 0), (0, 1), (1, 0)}
        assert used(served) == before + first + again

    return Asked(lambda: served.service.release(served.host, request, Timings()), after)


async def a_commit(served: Served, number: int) -> Asked:
    """Sent again it stands once; no tag but the old or the new one is ever there."""
    shield, new = served.shield(), sha256(f"tag {number}".encode())
    grant = await granted(served, shield)
    update = TagUpdate("state", 1, grant.volumes[0].tag, new)
    body = TagCommit(grant.board, grant.run, (update,)).to_json()
    envelope = sign_statement("tag-commit", body, [shield.signer])

    async def after() -> None:
        assert served.host.machine.board.tags["job/state"].tag in {update.old, new}
        index = await served.service.commit_tags(served.host, envelope)
        assert index == await served.service.commit_tags(served.host, envelope)
        assert served.host.machine.board.tags["job/state"].tag == new

    return Asked(lambda: served.service.commit_tags(served.host, envelope), after)


async def a_renewal(served: Served, _: int) -> Asked:
    """The run can be renewed afterwards, and no use is counted for that."""
    shield = served.shield()
    grant = await granted(served, shield)
    before = used(served)

    def work() -> Coroutine[Any, Any, Any]:
        nonce, _ = served.service.challenge(served.host, Purpose.LEASE)
        binding = lease_binding(served.board, grant.run, shield.keyset, nonce)
        evidence = shield.attester.collect(binding.report_data())
        request = LeaseRequest.make(
            board=served.board,
            run=grant.run,
            nonce=nonce,
            evidence=evidence,
            signer=shield.signer,
        )
        return served.service.renew(served.host, request)

    async def after() -> None:
        await work()
        assert used(served) == before

    return Asked(work, after)


async def cut_once(served: Served, made: Any, number: int, at: int, *, late: bool) -> bool:
    """One request that is cut, what must hold then, and whether there was anything to cut."""
    host = served.host
    asked = await made(served, number)
    cut = CutAt(asked.work(), at, late=late)
    await asyncio.wait_for(cut.run(), 20)
    await host.settled()
    await asyncio.wait_for(asked.after(), 20)
    await asyncio.wait_for(granted(served, served.shield()), 20)
    # What the service has in mind is what is on its disk, and what everybody will replay.
    await host.settled()
    entries = await host.entries(0, host.durable_size)
    ledger, machine = Machine.replay(entries)
    assert (ledger.size, ledger.root()) == (host.head.size, host.head.root())
    assert machine.uses == host.machine.uses
    assert machine.board.tags == host.machine.board.tags
    assert machine.board.recorded == host.machine.board.recorded
    assert machine.runs.keys() == host.machine.runs.keys()
    return cut.cut


@pytest.mark.timeout(200)
@pytest.mark.parametrize("made", [a_deposit, a_release, a_commit, a_renewal])
def test_a_caller_that_goes_away_at_any_await_leaves_nothing_half_done(
    served: Served, made: Any
) -> None:
    """Before and after each thing that the request waits for; the next one is answered."""
    points = 0
    for late in (False, True):
        for at in range(1, MOST):
            if not asyncio.run(cut_once(served, made, 2 * at + late, at, late=late)):
                break
            points += 1
        else:
            pytest.fail("it waits without end")
    assert points > 1
